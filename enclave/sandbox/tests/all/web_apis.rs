//! The web APIs of the SDK's prelude, checked from inside an agent.

use crate::common::*;

#[tokio::test]
async fn the_web_apis_do_as_the_web_does() {
	let agent = TestAgent::new("enclave/sandbox/tests/web-apis");
	let checks: Vec<String> = serde_json::from_str(&agent.get("/").await).unwrap();
	assert!(checks.len() > 10);
	let mut failed = Vec::new();
	for check in checks {
		if let Err(failure) = agent.run(get(&format!("/{check}"))).await {
			failed.push(format!("{check}: {}", told(&failure)));
		}
	}
	assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn console_writes_values_so_that_people_can_read_them() {
	let agent = TestAgent::new("enclave/sandbox/tests/web-apis");
	let logs = agent.run(get("/console")).await.unwrap().logs;
	assert_eq!(
		logs[0].message,
		r#"text 1 null undefined [1, "a"] {b: Map {"k" => 2n}} {name: "loop", self: [Circular]}"#
	);
	assert_eq!(logs[1].message, "Uint8Array(3 bytes)");
	assert_eq!(logs[1].level, phala_sandbox::LogLevel::Warn);
}

#[tokio::test]
async fn a_request_body_streams_through_to_the_response() {
	let agent = TestAgent::new("enclave/sandbox/tests/web-apis");
	let body: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
	let mut echo = request("POST", "/echo", body.clone());
	echo.headers.push(("content-type".to_owned(), b"x/y".to_vec()));
	let response = agent.run(echo).await.unwrap().response;
	assert!(response.body == body);
	assert!(response.headers.contains(&("content-type".to_owned(), b"x/y".to_vec())));
}
