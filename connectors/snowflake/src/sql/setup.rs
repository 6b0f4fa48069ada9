//! What an administrator runs once, before the first load.

use crate::config::Options;
use tablecast_core::dialect::double_quoted;

/// The set-up of an account for one user, with the names that are known filled in.
pub(crate) fn set_up(user: &str, database: &str, options: &Options) -> String {
    let role = name(options.role.as_deref().unwrap_or("TABLECAST"));
    let warehouse = name(options.warehouse.as_deref().unwrap_or("TABLECAST"));
    let (user, database) = (name(user), double_quoted(database));
    let integration = options
        .storage_integration
        .as_ref()
        .map(|integration| format!("GRANT USAGE ON INTEGRATION {integration} TO ROLE {role};\n"))
        .unwrap_or_default();
    format!(
        "CREATE ROLE IF NOT EXISTS {role};\n\
         CREATE WAREHOUSE IF NOT EXISTS {warehouse} WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE;\n\
         CREATE DATABASE IF NOT EXISTS {database};\n\
         GRANT USAGE ON WAREHOUSE {warehouse} TO ROLE {role};\n\
         GRANT USAGE, CREATE SCHEMA ON DATABASE {database} TO ROLE {role};\n\
         {integration}\
         CREATE USER IF NOT EXISTS {user} TYPE = SERVICE DEFAULT_ROLE = {role} DEFAULT_WAREHOUSE = {warehouse} RSA_PUBLIC_KEY = '…';\n\
         GRANT ROLE {role} TO USER {user};"
    )
}

/// A name as it is written in a URI: folded unless it is quoted.
fn name(text: &str) -> String {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => double_quoted(quoted),
        None => double_quoted(&text.to_ascii_uppercase()),
    }
}
