//! What was answered stays, however the process ends.

use std::{
    collections::BTreeMap,
    process::{Child, Command},
};

use testkit::{eventually, free_port};
use tokio::sync::Mutex;

use super::{Folder, SECRET, SOON, World, client, made, order};

#[tokio::test]
async fn a_kill_in_the_middle_of_traffic_loses_and_doubles_nothing() {
    let mut world = World::new().await;
    let (http, url) = (world.http.clone(), world.url("/v1/charges"));
    let answered = Mutex::new(BTreeMap::new());
    let shop = |shopper: u32| {
        let (http, url, answered) = (&http, &url, &answered);
        async move {
            for number in 0..50 {
                let key = format!("{shopper}-{number}");
                // The same key until there is an answer, as a merchant does.
                let charge = eventually("the charge is answered", SOON, async || {
                    let request = http.post(url).header("idempotency-key", &key).json(&order("o1", "tok_visa"));
                    let response = request.send().await.map_err(|error| error.to_string())?;
                    if response.status().is_success() { Ok(made(response).await.1) } else { Err(response.status().to_string()) }
                });
                answered.lock().await.insert(charge.await.id, key);
            }
        }
    };
    let kill_twice = async {
        for at_least in [100, 250] {
            eventually("traffic flows", SOON, async || {
                let count = answered.lock().await.len();
                if count >= at_least { Ok(()) } else { Err(format!("{count} charges")) }
            })
            .await;
            world.service.kill_and_restart().await;
        }
    };
    tokio::join!(futures::future::join_all((0..8).map(shop)), kill_twice);
    let kept: BTreeMap<_, _> = world.list("order_id=o1").await.into_iter().map(|charge| (charge.id, charge.idempotency_key)).collect();
    assert_eq!(kept.len(), 400, "one charge for each key");
    assert_eq!(kept, answered.into_inner());
}

/// A provider that a test ends by a signal.
fn start(folder: &Folder, port: u16) -> Child {
    // Dies with the test's thread.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", env!("CARGO_BIN_EXE_psp")]).env_clear();
    command.env("DATA_DIR", folder.as_str()).env("PSP_WEBHOOK_SECRET", SECRET);
    command.env("LISTEN_ADDR", format!("127.0.0.1:{port}")).env("ADMIN_ADDR", format!("127.0.0.1:{}", free_port()));
    command.stderr(std::process::Stdio::piped()).spawn().expect("the provider starts")
}

#[tokio::test]
async fn a_signal_lets_what_runs_end_and_exits_with_0() {
    let (folder, port, http) = (Folder::new(), free_port(), client());
    let mut process = start(&folder, port);
    let url = format!("http://127.0.0.1:{port}/v1/charges");
    eventually("it answers", SOON, async || http.get(&url).send().await).await;

    let answered = Mutex::new(Vec::new());
    let shop = async |shopper: u32| {
        for number in 0.. {
            let request = http.post(&url).header("idempotency-key", format!("{shopper}-{number}")).json(&order("o1", "tok_visa"));
            let Ok(response) = request.send().await else { return };
            assert!(response.status().is_success(), "what was taken up is answered");
            answered.lock().await.push(made(response).await.1.id);
        }
    };
    let stop = async {
        eventually("traffic flows", SOON, async || {
            let count = answered.lock().await.len();
            if count >= 50 { Ok(()) } else { Err(format!("{count} charges")) }
        })
        .await;
        assert!(Command::new("kill").arg(process.id().to_string()).status().unwrap().success());
    };
    tokio::join!(futures::future::join_all((0..4).map(shop)), stop);
    let status = eventually("it ends", SOON, async || process.try_wait().unwrap().ok_or("it runs")).await;
    assert_eq!(status.code(), Some(0));

    let mut process = start(&folder, port);
    for id in answered.into_inner() {
        let found = eventually("it answers", SOON, async || http.get(format!("{url}/{id}")).send().await).await;
        assert_eq!(found.status(), 200, "{id}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn two_providers_never_share_a_folder() {
    let (folder, port, http) = (Folder::new(), free_port(), client());
    let mut first = start(&folder, port);
    eventually("it answers", SOON, async || http.get(format!("http://127.0.0.1:{port}/")).send().await).await;
    let second = tokio::task::spawn_blocking({
        let second = start(&folder, free_port());
        move || second.wait_with_output()
    });
    let output = second.await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("is in use by another process"), "{log}");
    first.kill().unwrap();
    first.wait().unwrap();
}
