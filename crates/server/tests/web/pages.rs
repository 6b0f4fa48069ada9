//! The page: signing in and out, what stands there, forms, and that names stay names.

use crate::support::{Answer, Browser, ODD, TOKEN, World, config, encoded};
use axum::http::StatusCode;
use base64::Engine as _;
use sha2::{Digest, Sha256};
use tablecast_server::config::Item;
use tablecast_server::state::{HistoryFilter, Status};

const CALL: &str = r#"{"type": "identify", "userId": "u1", "messageId": "m1", "traits": {"first_time_shopper": true}}"#;

/// What every page must be, whoever sees it.
fn is_safe(page: &Answer) {
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    if page.header("content-type").starts_with("text/html") {
        let style = page.text.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
        assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "the style is the one that is allowed");
        assert!(!page.text.contains("<script") && !page.text.contains(" style=") && !page.text.contains(" onclick"));
        for link in page.text.split(" src=\"").skip(1).chain(page.text.split(" href=\"").skip(1)) {
            let own = link.starts_with('/') && !link.starts_with("//");
            assert!(own || link.starts_with("#main\"") || link.starts_with("data:image/svg"), "{}", &link[..40]);
        }
    }
    assert!(!page.text.contains(TOKEN) && !page.text.contains("demo"), "no secret is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_behind_the_sign_in() {
    let world = World::new(&config(&[("main", "")]));
    let mut browser = Browser::new(&world);
    for (path, leads) in [
        ("/", "/signin"),
        ("/syncs", "/signin?next=/syncs"),
        ("/syncs/1", "/signin?next=/syncs/1"),
        ("/warehouses/main?before=3", "/signin?next=/warehouses/main%3Fbefore%3D3"),
    ] {
        let answer = browser.open(path).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, leads), "{path}");
    }
    for path in ["/warehouses/main/sync", "/warehouses/main/selection", "/signout"] {
        let answer = browser.submit(path, &[("kind", "table"), ("name", "users")]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/signin"), "{path}");
    }
    assert_eq!(world.engine.control().syncs(&HistoryFilter::default()).unwrap(), []);

    let page = browser.open("/signin?next=/syncs/1").await;
    is_safe(&page);
    assert!(page.text.contains("name=\"next\" value=\"/syncs/1\""));
    for wrong in ["", "wrong", "<b>"] {
        let answer = browser.submit("/signin", &[("token", wrong)]).await;
        is_safe(&answer);
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::UNAUTHORIZED, ""), "{wrong}");
        assert!(answer.text.contains("role=\"alert\"") && !answer.text.contains("<b>"));
    }
    let long = "x".repeat(4 << 10);
    let answer = browser.submit("/signin", &[("token", TOKEN), ("next", &long)]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::BAD_REQUEST, ""), "it is not even read");
    let answer = browser.submit_from("https://example.org", "/signin", &[("token", TOKEN)]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    for (next, leads) in [("/syncs/1", "/syncs/1"), ("//example.org", "/"), ("https://example.org", "/"), ("", "/")] {
        let answer = browser.submit("/signin", &[("token", TOKEN), ("next", next)]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, leads));
        let cookie = answer.header("set-cookie");
        assert!(cookie.contains("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains(TOKEN));
    }
    assert_eq!(browser.open("/").await.status, StatusCode::OK);
    assert_eq!(browser.open("/signin").await.header("location"), "/", "who is in need not sign in");

    let (csrf, cookie) = (browser.csrf().await, browser.cookie.clone());
    assert_eq!(browser.submit("/signout", &[("csrf", "")]).await.status, StatusCode::FORBIDDEN);
    let answer = browser.submit("/signout", &[("csrf", &csrf)]).await;
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{answer:?}");
    browser.cookie = cookie;
    assert_eq!(browser.open("/").await.status, StatusCode::SEE_OTHER, "the session is over, not only its cookie");
    browser.cookie = "tablecast_session=made-up".to_owned();
    assert_eq!(browser.open("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_is_told_what_to_do_next() {
    let world = World::new(&config(&[]));
    let page = Browser::signed_in(&world).await.open("/").await;
    is_safe(&page);
    for part in ["No warehouse yet", "[[warehouse]]", "No call has arrived yet", "/v1/identify", "No sync has run yet"]
    {
        assert!(page.text.contains(part), "{part}");
    }
    let world = World::new(&config(&[("main", "")]));
    let browser = Browser::signed_in(&world).await;
    let page = browser.open("/warehouses/main").await;
    assert!(page.text.contains("No sync has run yet") && page.text.contains("after the first sync"));
    assert!(browser.open("/syncs").await.text.contains("No sync has run yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_nobody_knows_are_told_without_the_key() {
    let world = World::new(&config(&[("main", "")]));
    let call = r#"{"writeKey": "somebody-elses", "userId": "u1", "event": "E"}"#;
    let request = axum::http::Request::post("/v1/track").body(axum::body::Body::from(call)).unwrap();
    assert_eq!(world.send(request).await.status, StatusCode::FORBIDDEN);
    let page = Browser::signed_in(&world).await.open("/").await;
    is_safe(&page);
    assert!(page.text.contains("write keys that no source has") && page.text.contains(": 1 request, the last now"));
    let told = world.get("/api/sources").await;
    assert_eq!(told.json()["unknown_keys"][0]["requests"], 1);
    assert!(!page.text.contains("somebody-elses") && !told.text.contains("somebody-elses"));
}

#[tokio::test(flavor = "multi_thread")]
async fn past_syncs_are_told_with_their_tables() {
    let world = World::new(&config(&[("main", "")]));
    world.post(&[CALL]).await;
    world.sync().await;
    world
        .post(&[r#"{"type": "identify", "userId": "u2", "messageId": "m2", "traits": {"first_time_shopper": "N/A"}}"#])
        .await;
    world.sync().await;
    let browser = Browser::signed_in(&world).await;
    let page = browser.open("/").await;
    is_safe(&page);
    for part in ["personas_default", ">Sync 1<", ">Sync 2<", ">Success<", ">Partial<", "<time datetime=\"20"] {
        assert!(page.text.contains(part), "{part}");
    }
    let first = browser.open("/syncs/1").await;
    is_safe(&first);
    for part in ["Preparation", "Loading", ">identifies<", ">users<", "create table users", "without a notice"] {
        assert!(first.text.contains(part), "{part}");
    }
    let second = browser.open("/syncs/2").await;
    for part in ["Discards by reason", "type_conflict", "Notices", "_discards", "there are notices"] {
        assert!(second.text.contains(part), "{part}");
    }
    let page = browser.open("/warehouses/main").await;
    is_safe(&page);
    assert!(page.text.contains("value=\"computation:first_time_shopper\" checked"), "{}", page.text);
    assert!(page.text.contains("value=\"table:identifies\" checked"));
    for _ in 0..51 {
        world.sync().await;
    }
    let page = browser.open("/warehouses/main").await;
    assert!(page.text.contains("href=\"/warehouses/main?before=4\""), "fifty on a page");
    let older = browser.open("/warehouses/main?before=4").await;
    assert!(older.text.contains(">Sync 3<") && !older.text.contains(">Sync 4<") && older.text.contains("The newest"));
    let page = browser.open("/syncs").await;
    assert!(page.text.contains("href=\"/syncs?before=4\"") && page.text.contains(">Sync 53<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_others_do_nothing() {
    let world = World::new(&config(&[("main", "")]));
    let mut browser = Browser::signed_in(&world).await;
    let (own, other) = (browser.csrf().await, Browser::signed_in(&world).await.csrf().await);
    for csrf in ["", "made-up", &other] {
        for path in ["/warehouses/main/sync", "/warehouses/main/selection"] {
            let fields = [("csrf", csrf), ("kind", "table"), ("name", "users")];
            let answer = browser.submit(path, &fields).await;
            is_safe(&answer);
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {csrf}");
        }
    }
    for origin in ["https://example.org", "null"] {
        let answer = browser.submit_from(origin, "/warehouses/main/sync", &[("csrf", &own)]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(world.engine.control().syncs(&HistoryFilter::default()).unwrap(), []);
    assert_eq!(world.engine.control().selection(None).unwrap()[0].off, []);

    let answer = browser.submit("/warehouses/main/sync", &[("csrf", &own)]).await;
    assert_eq!(answer.header("location"), "/warehouses/main?done=sync&follow=1");
    let page = browser.open(answer.header("location")).await;
    assert!(page.text.contains("A sync was asked for") && page.text.contains("http-equiv=\"refresh\""));
    assert!(page.text.contains("as soon as the warehouse is free"));
    assert_eq!(world.engine.control().syncs(&HistoryFilter::default()).unwrap()[0].status, Status::Waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_are_turned_by_form() {
    let world = World::new(&config(&[("main", "off = { tables = [\"screens\"] }")]));
    world.post(&[CALL]).await;
    world.sync().await;
    let mut browser = Browser::signed_in(&world).await;
    let csrf = browser.csrf().await;
    let off = |world: &World| -> Vec<String> {
        let selection = world.engine.control().selection(Some("main")).unwrap();
        selection[0].off.iter().map(|off| Item { kind: off.kind, name: off.name.clone() }.to_string()).collect()
    };
    let trait_ = ("was_on", "computation:first_time_shopper");
    let fields = [("csrf", csrf.as_str()), trait_, ("was_on", "table:users"), ("on", "table:users")];
    let answer = browser.submit("/warehouses/main/selection", &fields).await;
    assert_eq!(answer.header("location"), "/warehouses/main?done=saved");
    assert_eq!(off(&world), ["table screens", "computation first_time_shopper"]);
    let page = browser.open("/warehouses/main?done=saved").await;
    assert!(page.text.contains("value=\"computation:first_time_shopper\">"), "it is unchecked");
    assert!(page.text.contains("value=\"table:screens\" disabled"), "the configuration's own is not for the page");
    assert!(page.text.contains("off in the configuration"));
    let on = "computation:first_time_shopper";
    let fields = [("csrf", csrf.as_str()), ("was_off", on), ("on", on)];
    browser.submit("/warehouses/main/selection", &fields).await;
    assert_eq!(off(&world), ["table screens"]);
    let answer = browser.submit("/warehouses/main/selection", &[("csrf", &csrf)]).await;
    assert_eq!(answer.header("location"), "/warehouses/main?done=same#selection");

    let typo = [("csrf", csrf.as_str()), ("kind", "table"), ("name", "identifys")];
    let answer = browser.submit("/warehouses/main/selection", &typo).await;
    assert_eq!(answer.header("location"), "/warehouses/main?done=unknown");
    let page = browser.open("/warehouses/main?done=unknown").await;
    is_safe(&page);
    assert!(page.text.contains("nothing of that name yet") && page.text.contains("close to it: identifies"));
    let on = [("csrf", csrf.as_str()), ("was_off", "table:identifys"), ("on", "table:identifys")];
    browser.submit("/warehouses/main/selection", &on).await;

    for (kind, name) in [("column", "users.id"), ("column", "plan"), ("table", "_lock"), ("computation", " ")] {
        let answer =
            browser.submit("/warehouses/main/selection", &[("csrf", &csrf), ("kind", kind), ("name", name)]).await;
        is_safe(&answer);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind} {name}");
        assert!(answer.text.contains("class=\"note bad\""), "it says what to do");
    }
    assert_eq!(off(&world), ["table screens"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_stay_names() {
    let world = World::new(&config(&[(ODD, "")]));
    world.post(&[CALL]).await;
    world.sync().await;
    let mut browser = Browser::signed_in(&world).await;
    let csrf = browser.csrf().await;
    let link = "/warehouses/%3Cb%3E%22odd%22%20%26%20%27co%27%3C%2Fb%3E%2Fx";
    let fields = [("csrf", csrf.as_str()), ("kind", "computation"), ("name", "<script>alert(1)</script>")];
    let answer = browser.submit(&format!("{link}/selection"), &fields).await;
    assert_eq!(answer.header("location"), format!("{link}?done=unknown"));
    for path in ["/", "/syncs", "/syncs/1", link, &format!("/warehouses/{}", encoded("<i>nobody</i>"))] {
        let page = browser.open(path).await;
        is_safe(&page);
        assert!(!page.text.contains("<b>") && !page.text.contains("<i>"), "{path}");
        assert_eq!(page.status == StatusCode::OK, !path.contains("%6E"), "{path}");
    }
    let page = browser.open(link).await;
    assert!(page.text.contains("&#60;script&#62;alert(1)"), "{}", page.text);
    assert!(page.text.contains("&#60;b&#62;&#34;odd&#34; &#38; &#39;co&#39;"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_in_a_page() {
    let world = World::new(&config(&[("main", "")]));
    let browser = Browser::signed_in(&world).await;
    for path in ["/syncs/7", "/syncs/seven", "/syncs/-1", "/warehouses/nobody", "/nowhere", "/warehouses/%FF"] {
        let page = browser.open(path).await;
        is_safe(&page);
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.text.contains("To the overview"), "{path}");
    }
    assert_eq!(browser.open("/warehouses/main/sync").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(browser.open("/syncs?before=x").await.status, StatusCode::OK, "a page is shown all the same");
}
