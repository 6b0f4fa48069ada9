//! Words that mean something: reserved ones, functions that may be called, catalogs that may be read.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// "Reserved words" of the Database Developer Guide, in order.
const RESERVED: &str = "
    aes128 aes256 all allowoverwrite analyse analyze and any array as asc authorization az64 backup between binary
    blanksasnull both bytedict bzip2 case cast check collate column constraint create credentials cross current_date
    current_time current_timestamp current_user current_user_id default deferrable deflate defrag delta delta32k
    desc disable distinct do else emptyasnull enable encode encrypt encryption end except explicit false for foreign
    freeze from full globaldict256 globaldict64k grant group gzip having identity ignore ilike in initially inner
    intersect interval into is isnull join language leading left like limit localtime localtimestamp lun luns lzo
    lzop minus mostly16 mostly32 mostly8 natural new not notnull null nulls off offline offset oid old on only open
    or order outer overlaps parallel partition percent permissions pivot placing primary raw readratio recover
    references rejectlog resort respect restore right select session_user similar snapshot some sysdate system table
    tag tdes text255 text32k then timestamp to top trailing true truncatecolumns union unique unnest unpivot user
    using verbose wallet when where with without";

/// Whether a bare word cannot be a name.
pub(super) fn is_reserved(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| RESERVED.split_whitespace().collect());
    WORDS.contains(word)
}

/// Names that PostgreSQL's and Redshift's tables have already.
pub(super) const SYSTEM_COLUMNS: [&str; 7] = ["cmax", "cmin", "ctid", "oid", "tableoid", "xmax", "xmin"];

/// Functions that run on compute nodes, each in the "SQL functions reference".
const FUNCTIONS: &str = "
    abs avg bool_and bool_or btrim ceil ceiling chr coalesce concat count current_database date_part date_trunc
    dense_rank first_value floor getdate greatest lag last_value lead least left len length lower lpad ltrim max md5
    min mod nullif nvl octet_length rank regexp_replace replace right round row_number rpad rtrim sign split_part
    strpos substring sum to_char to_timestamp trim trunc upper";

/// "Leader node–only functions" and system information functions that a check of rights asks.
const LEADER_FUNCTIONS: &str = "
    current_schema current_schemas current_setting has_database_privilege has_schema_privilege has_table_privilege
    pg_backend_pid pg_last_copy_count pg_last_copy_id version";

/// Where a function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Anywhere,
    Leader,
}

pub(super) fn function(name: &str) -> Option<Function> {
    static FOUND: LazyLock<HashMap<&str, Function>> = LazyLock::new(|| {
        let anywhere = FUNCTIONS.split_whitespace().map(|name| (name, Function::Anywhere));
        anywhere.chain(LEADER_FUNCTIONS.split_whitespace().map(|name| (name, Function::Leader))).collect()
    });
    FOUND.get(name).copied()
}

/// Schemas that are not the user's.
pub(super) fn is_system_schema(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema" || name == "rs_emu"
}

/// A catalog that may be read: where PostgreSQL has it, and whether only the leader node does.
pub(super) fn catalog(path: &[&str]) -> Option<(&'static str, bool)> {
    Some(match path {
        ["information_schema", "columns"] => ("rs_emu.columns", true),
        ["information_schema", "tables"] => ("rs_emu.tables", true),
        ["information_schema", "schemata"] => ("rs_emu.schemata", true),
        ["svv_columns"] | ["pg_catalog", "svv_columns"] => ("rs_emu.columns", true),
        ["svv_redshift_schemas" | "svv_all_schemas"] | ["pg_catalog", "svv_redshift_schemas" | "svv_all_schemas"] => {
            ("rs_emu.schemas", true)
        }
        ["sys_load_error_detail"] | ["pg_catalog", "sys_load_error_detail"] => ("rs_emu.sys_load_error_detail", true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        assert!(is_reserved("tag") && is_reserved("without") && !is_reserved("name") && !is_reserved(""));
        assert_eq!(function("string_agg"), None);
        assert_eq!(function("upper"), Some(Function::Anywhere));
        assert_eq!(function("version"), Some(Function::Leader));
    }
}
