//! The example agents answer.

mod common;

use common::*;

#[tokio::test]
async fn hello_answers_and_counts() {
    let hello = TestAgent::new("agents/hello");
    assert_eq!(hello.get("/?name=Ada").await, "Hello, Ada!");

    assert_eq!(json(&hello.run(request("POST", "/count", "")).await.unwrap())["count"], 1);
    assert_eq!(json(&hello.run(request("POST", "/count", "")).await.unwrap())["count"], 2);

    let outcome = hello.run(get("/whoami")).await.unwrap();
    assert_eq!(json(&outcome)["caller"], format!("0x{}", "09".repeat(32)));
    assert_eq!(json(&outcome)["block"]["number"], 42);
    assert_eq!(outcome.logs[0].message, "GET /whoami");
    assert!(outcome.writes.is_empty());
}
