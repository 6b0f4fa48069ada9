//! COPY from S3: the options a loader of JSON needs, and no others.

use super::cursor::Cursor;
use super::{Refusal, token::Token};

type Result<T = ()> = std::result::Result<T, Refusal>;

/// Who reads the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// `IAM_ROLE default`
    Default,
    /// `IAM_ROLE 'arn:…'`, chained by commas
    Role(String),
}

/// A load that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// `schema.table` or `table`, as the client wrote it.
    pub(crate) table: Vec<String>,
    /// None for all, in the order of the table.
    pub(crate) columns: Option<Vec<String>>,
    /// `s3://bucket/key`
    pub(crate) from: String,
    pub(crate) auth: Auth,
    pub(crate) region: Option<String>,
    pub(crate) manifest: bool,
    pub(crate) gzip: bool,
    /// `TIMEFORMAT 'auto'`
    pub(crate) any_time: bool,
    pub(crate) max_errors: u64,
}

/// Options that Redshift has and this emulator has not.
const UNKNOWN: [&str; 25] = [
    "truncatecolumns",
    "acceptanydate",
    "acceptinvchars",
    "avro",
    "blanksasnull",
    "bzip2",
    "credentials",
    "csv",
    "dateformat",
    "delimiter",
    "emptyasnull",
    "encoding",
    "encrypted",
    "escape",
    "explicit_ids",
    "fillrecord",
    "fixedwidth",
    "ignoreheader",
    "lzop",
    "null",
    "orc",
    "parquet",
    "readratio",
    "roundec",
    "zstd",
];

pub(super) fn read(at: &mut Cursor<'_>) -> Result<Copy> {
    let table = at.put_table()?;
    let mut columns = None;
    if at.skip_sign("(") {
        let mut names = vec![at.name()?];
        while at.skip_sign(",") {
            names.push(at.name()?);
        }
        if !at.skip_sign(")") {
            return Err(at.unexpected());
        }
        columns = Some(names);
    }
    if !at.skip(&["from"]) {
        return Err(at.unexpected());
    }
    let from = match at.next() {
        Some(Token::Text(from)) if from.starts_with("s3://") => from.clone(),
        Some(Token::Text(_)) => {
            return Err(Refusal::new(
                "0A000",
                "rsemu: COPY reads from s3:// only; EMR, SSH and DynamoDB are not emulated",
            ));
        }
        // "COPY": there is no client-side source.
        Some(Token::Word(word)) if word == "stdin" => {
            return Err(Refusal::new("0A000", "COPY FROM STDIN is not supported"));
        }
        _ => {
            at.back();
            return Err(at.unexpected());
        }
    };
    options(
        at,
        Copy {
            table,
            columns,
            from,
            auth: Auth::Default,
            region: None,
            manifest: false,
            gzip: false,
            any_time: false,
            max_errors: 0,
        },
    )
}

fn options(at: &mut Cursor<'_>, mut copy: Copy) -> Result<Copy> {
    let mut seen: Vec<String> = Vec::new();
    while at.peek().is_some() && !at.sees_sign(";") {
        let option = at.next_word()?;
        if option == "format" {
            at.skip(&["as"]);
            if !at.sees(&["json"]) {
                refuse_unknown(at)?;
                return Err(at.unexpected());
            }
            continue;
        }
        if seen.contains(&option) {
            return Err(Refusal::syntax("conflicting or redundant options"));
        }
        match option.as_str() {
            "iam_role" => {
                copy.auth = if at.skip(&["default"]) { Auth::Default } else { Auth::Role(at.next_text()?) };
                if let Auth::Role(role) = &copy.auth
                    && !role.starts_with("arn:")
                {
                    return Err(Refusal::new("22023", "rsemu: IAM_ROLE needs default or the ARN of a role"));
                }
            }
            "json" => {
                at.skip(&["as"]);
                let how = at.next_text()?;
                if how != "auto" {
                    return Err(Refusal::new("0A000", "rsemu: of JSON's forms only 'auto' is emulated"));
                }
            }
            "gzip" => copy.gzip = true,
            "manifest" => copy.manifest = true,
            "timeformat" => {
                at.skip(&["as"]);
                if at.next_text()? != "auto" {
                    return Err(Refusal::new("0A000", "rsemu: of TIMEFORMAT's forms only 'auto' is emulated"));
                }
                copy.any_time = true;
            }
            "region" => {
                at.skip(&["as"]);
                copy.region = Some(at.next_text()?);
            }
            "maxerror" => {
                at.skip(&["as"]);
                copy.max_errors = at.next_number()?;
                if copy.max_errors > 100_000 {
                    return Err(Refusal::new("22023", "rsemu: MAXERROR is at most 100000"));
                }
            }
            "compupdate" | "statupdate" => {
                let known = ["on", "off", "true", "false", "preset"];
                match at.peek() {
                    Some(Token::Word(word)) if known.contains(&word.as_str()) => drop(at.next()),
                    _ => {}
                }
            }
            _ => {
                at.back();
                refuse_unknown(at)?;
                return Err(at.unexpected());
            }
        }
        seen.push(option);
    }
    // "COPY": an authorization clause is needed.
    if !seen.iter().any(|option| option == "iam_role") {
        return Err(Refusal::new("42601", "rsemu: COPY needs IAM_ROLE default or IAM_ROLE 'arn:…'"));
    }
    if !seen.iter().any(|option| option == "json") {
        return Err(Refusal::new("0A000", "rsemu: only FORMAT AS JSON 'auto' is emulated"));
    }
    Ok(copy)
}

fn refuse_unknown(at: &Cursor<'_>) -> Result {
    match at.peek() {
        Some(Token::Word(word)) if UNKNOWN.contains(&word.as_str()) => {
            Err(Refusal::new("0A000", format!("rsemu: COPY's {} is not emulated", word.to_uppercase())))
        }
        _ => Ok(()),
    }
}
