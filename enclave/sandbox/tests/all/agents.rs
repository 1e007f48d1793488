//! The example agents answer.

use crate::common::server::{ok, status, Server};
use crate::common::*;
use std::collections::BTreeMap;

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

/// An oracle whose three sources are paths of one server.
async fn oracle(a: &'static str, b: &'static str, c: &'static str) -> (TestAgent, Server) {
	let server = Server::start(move |seen| match seen.path.as_str() {
		"/a" => ok(a),
		"/b" => ok(b),
		"/c" if c.is_empty() => status(500),
		"/c" => ok(c),
		_ => status(404),
	})
	.await;
	let source = |path, price| serde_json::json!({ "url": server.url(path), "price": price });
	let sources = serde_json::json!([
		source("/a", "data.amount"),
		source("/b", "usd"),
		source("/c", "result.c.0")
	]);
	let oracle = TestAgent::with(
		"agents/price-oracle",
		|manifest| {
			manifest.egress = vec![server.url("").parse().unwrap()];
			manifest.config.insert("sources".into(), sources.to_string());
		},
		BTreeMap::new(),
		vec![server.authority()],
	);
	(oracle, server)
}

#[tokio::test]
async fn the_oracle_answers_with_the_median_and_keeps_it_when_posted() {
	let (oracle, _server) =
		oracle(r#"{"data":{"amount":"100.5"}}"#, r#"{"usd":101}"#, r#"{"result":{"c":["99.5"]}}"#)
			.await;
	let outcome = oracle.run(get("/")).await.unwrap();
	assert_eq!(json(&outcome)["price"], 100.5);
	assert_eq!(json(&outcome)["authenticated"], false);
	assert_eq!(outcome.unproven_inputs.len(), 1, "{:?}", outcome.unproven_inputs);
	assert!(outcome.writes.is_empty(), "a GET keeps nothing");
	assert_eq!(oracle.run(get("/last")).await.unwrap().response.status, 404);

	oracle.run(request("POST", "/", "")).await.unwrap();
	assert_eq!(json(&oracle.run(get("/last")).await.unwrap())["price"], 100.5);
}

#[tokio::test]
async fn the_oracle_leaves_out_a_liar_and_a_broken_source() {
	let (oracle_with_liar, _server) =
		oracle(r#"{"data":{"amount":"100"}}"#, r#"{"usd":102}"#, r#"{"result":{"c":["5000"]}}"#)
			.await;
	let answer = json(&oracle_with_liar.run(get("/")).await.unwrap());
	assert_eq!(answer["price"], 101.0);
	assert!(answer["refused"][0]["reason"].as_str().unwrap().contains("too far"), "{answer}");

	let (oracle_with_broken, _server) =
		oracle(r#"{"data":{"amount":"100"}}"#, r#"{"usd":102}"#, "").await;
	let answer = json(&oracle_with_broken.run(get("/")).await.unwrap());
	assert_eq!(answer["price"], 101.0);
	assert!(answer["refused"][0]["reason"].as_str().unwrap().contains("500"), "{answer}");
}

#[tokio::test]
async fn the_oracle_says_nothing_when_its_sources_disagree() {
	let (oracle, _server) =
		oracle(r#"{"data":{"amount":"1"}}"#, r#"{"usd":50}"#, r#"{"result":{"c":["900"]}}"#).await;
	let outcome = oracle.run(request("POST", "/", "")).await.unwrap();
	assert_eq!(outcome.response.status, 502);
	assert!(outcome.writes.is_empty());
}

#[tokio::test]
async fn chat_asks_the_model_with_the_secret_key() {
	let model = Server::start(|seen| {
        if seen.headers.get("authorization").map(String::as_str) != Some("Bearer s3cret") {
            return status(401);
        }
        let asked: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
        let heard = asked["messages"][1]["content"].as_str().unwrap();
        ok(&serde_json::json!({ "model": "tiny", "choices": [{ "message": { "role": "assistant", "content": format!("You said: {heard} ✓") } }] })
            .to_string())
    })
    .await;
	let chat = |secrets: BTreeMap<String, String>| {
		TestAgent::with(
			"agents/chat",
			|manifest| {
				manifest.egress = vec![model.url("").parse().unwrap()];
				manifest.config.insert("base_url".into(), model.url("/v1"));
			},
			secrets,
			vec![model.authority()],
		)
	};
	let ask = || request("POST", "/", r#"{"message":"héllo"}"#);

	let with_key = chat([("API_KEY".to_owned(), "s3cret".to_owned())].into());
	let outcome = with_key.run(ask()).await.unwrap();
	assert_eq!(json(&outcome)["reply"], "You said: héllo ✓");
	assert_eq!(model.requests()[0].headers["idempotency-key"], "key-1");
	assert!(!format!("{outcome:?}").contains("s3cret"));

	assert_eq!(chat(BTreeMap::new()).run(ask()).await.unwrap().response.status, 503);
	let with_wrong_key = chat([("API_KEY".to_owned(), "wrong".to_owned())].into());
	assert_eq!(with_wrong_key.run(ask()).await.unwrap().response.status, 502);
	assert_eq!(with_key.run(get("/")).await.unwrap().response.status, 405);
	assert_eq!(with_key.run(request("POST", "/", "no json")).await.unwrap().response.status, 400);
}

#[tokio::test]
async fn one_agent_calls_another_which_sees_it_as_the_caller() {
	let hostile = TestAgent::new("enclave/sandbox/tests/hostile");
	let hello = TestAgent::new("agents/hello");
	*hostile.host.callee.lock().unwrap() = Some(Callee {
		loaded: hello.loaded.clone(),
		manifest: hello.manifest.clone(),
		host: hello.host.clone(),
	});
	let answer = json(&hostile.run(get("/calls-another")).await.unwrap());
	assert_eq!(answer["caller"], format!("0x{}", "07".repeat(32)));
}
