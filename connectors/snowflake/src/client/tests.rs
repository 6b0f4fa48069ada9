//! What a login says, and the small things beside.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tablecast_core::Secret;

fn client(options: Options) -> Client {
    let address = crate::config::address("//Me@org-acct.eu/db").unwrap();
    Client::new(address, options).unwrap()
}

/// A key that is used nowhere.
const KEY: &str = include_str!("test_key.p8");

#[test]
fn a_login_proves_who_it_is_in_each_way() {
    let secret = || Some(Secret::new("hush"));
    let with = |options: Options| client(options).login_body().unwrap()["data"].clone();
    let password = with(Options { password: secret(), ..Options::default() });
    assert_eq!((&password["PASSWORD"], &password["AUTHENTICATOR"]), (&json!("hush"), &Value::Null));
    assert_eq!((&password["ACCOUNT_NAME"], &password["LOGIN_NAME"]), (&json!("org-acct"), &json!("Me")));
    for (options, authenticator) in [
        (Options { token: secret(), ..Options::default() }, "PROGRAMMATIC_ACCESS_TOKEN"),
        (Options { oauth_token: secret(), ..Options::default() }, "OAUTH"),
    ] {
        let data = with(options);
        assert_eq!((&data["AUTHENTICATOR"], &data["TOKEN"]), (&json!(authenticator), &json!("hush")));
    }
    let tagged =
        with(Options { password: secret(), query_tag: "nightly".into(), lock_timeout_s: 5, ..Options::default() });
    let parameters = &tagged["SESSION_PARAMETERS"];
    assert_eq!((&parameters["QUERY_TAG"], &parameters["LOCK_TIMEOUT"]), (&json!("nightly"), &json!(5)));
}

#[test]
fn a_key_signs_for_account_and_user_in_upper_case() {
    let key = client(Options { private_key: Some(Secret::new(KEY)), ..Options::default() });
    let data = key.login_body().unwrap()["data"].clone();
    assert_eq!(data["AUTHENTICATOR"], json!("SNOWFLAKE_JWT"));
    let token = data["TOKEN"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], json!("ORG-ACCT.ME"));
    let issuer = claims["iss"].as_str().unwrap();
    assert!(issuer.starts_with("ORG-ACCT.ME.SHA256:") && issuer.ends_with('='), "{issuer}");
    let at = |key: &str| claims[key].as_i64().unwrap();
    assert!(at("exp") > at("iat") && (at("iat") - now() / 1_000_000).abs() < 60, "{claims}");

    let broken = client(Options { private_key: Some(Secret::new("hush")), ..Options::default() });
    let error = broken.login_body().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.remedy().contains("openssl") && !format!("{error:?}").contains("hush"), "{error:?}");
}

#[test]
fn names_are_quoted_where_they_must_be() {
    assert_eq!(quoted_if_needed("DB_1$"), "DB_1$");
    for name in ["Db", "1DB", "MY DB", "$X", ""] {
        assert_eq!(quoted_if_needed(name), format!("\"{name}\""));
    }
}

#[test]
fn request_ids_differ_and_have_their_form() {
    let (one, two) = (uuid(), uuid());
    assert_ne!(one, two);
    let parts: Vec<usize> = one.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{one}");
    assert_ne!(nonce(), nonce());
}
