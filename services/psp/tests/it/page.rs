//! The page for people.

use super::{World, order};

#[tokio::test]
async fn the_page_shows_counts_and_the_newest_charges_without_scripts() {
    let world = World::new().await;
    assert!(world.get("/").await.text().await.unwrap().contains("There are none yet."));
    let (_, captured) = world.charge("k1", &order("<script>alert(1)</script>", "tok_visa")).await;
    world.command(&captured.id, "capture").await;
    let (_, declined) = world.charge("k2", &order("o2", "tok_decline")).await;

    let response = world.get("/").await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let page = response.text().await.unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"));
    for count in ["<dt>captured</dt><dd>1</dd>", "<dt>declined</dt><dd>1</dd>", "<dt>authorized</dt><dd>0</dd>"] {
        assert!(page.contains(count), "{count} in {page}");
    }
    let (first, second) = (page.find(&declined.id).unwrap(), page.find(&captured.id).unwrap());
    assert!(first < second, "the newest comes first");
    assert!(page.contains("12.50 EUR"));
    assert_eq!(world.get("/page.css").await.status(), 200);
}

#[tokio::test]
async fn the_page_stops_at_a_hundred() {
    let world = World::new().await;
    let world = &world;
    futures::future::join_all((0..103).map(async |key| world.charge(&format!("k{key}"), &order("o1", "tok_visa")).await)).await;
    let page = world.get("/").await.text().await.unwrap();
    assert_eq!(page.matches("href=\"/v1/charges/ch_").count(), 100);
    assert!(page.contains("<dt>authorized</dt><dd>103</dd>"));
}
