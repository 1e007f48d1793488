//! Agents answer over the public server of the real binary.

mod worker;

use phala_pruntime::limits::CALLER_BODIES_BYTES_MAX;
use serde_json::json;
use std::{
	collections::BTreeSet,
	io::Write,
	sync::atomic::{AtomicBool, Ordering},
	time::{Duration, Instant},
};
use worker::{built, price_server, Agent, Worker};

const HOSTILE: &str = "enclave/sandbox/tests/hostile";

#[test]
fn hello_answers_by_name_and_by_id_and_counts() {
	let worker = Worker::start(&[built("agents/hello")]);
	let answer = worker.get("/agents/hello/?name=Ada");
	assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, Ada!"));

	let list = worker.get("/v1/agents").json();
	let hello = &list["agents"][0];
	assert_eq!(hello["name"], "hello");
	assert_eq!(answer.header("x-phala-agent"), hello["id"].as_str());
	assert_eq!(answer.header("x-phala-code-hash"), hello["codeHash"].as_str());
	assert_eq!(answer.header("x-phala-manifest-hash"), hello["manifestHash"].as_str());
	assert_eq!(answer.header("x-phala-unproven-inputs"), Some("0"));
	// There is no chain, and the answer says so.
	assert_eq!(answer.header("x-phala-freshness"), Some("NoChain"));
	assert_eq!(answer.header("x-phala-block"), None);

	let id = hello["id"].as_str().unwrap();
	assert_eq!(worker.get(&format!("/agents/{id}")).text(), "Hello, world!");
	let who = worker.get(&format!("/agents/{}/whoami", &id[2..])).json();
	assert_eq!(who["agent"], id);
	assert!(who["caller"].is_null());

	assert_eq!(worker.post("/agents/hello/count").json()["count"], 1);
	assert_eq!(worker.post("/agents/hello/count").json()["count"], 2);

	let stranger = worker.get("/agents/stranger/");
	assert_eq!((stranger.status, stranger.error().as_str()), (404, "NoSuchAgent"));
	assert_eq!(stranger.header("x-phala-agent"), None);
}

/// What the shell of whoever runs the tests exports, `PHALA_RECORD` say, is not told to workers.
#[test]
fn a_worker_knows_nothing_of_this_programs_environment() {
	assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets it");
	let environment = Worker::start(&[built("agents/hello")]).environment();
	let names: BTreeSet<_> =
		environment.iter().filter_map(|variable| Some(variable.split_once('=')?.0)).collect();
	assert_eq!(names, ["HOME", "NO_COLOR", "PATH", "TMPDIR"].into());
}

#[test]
fn writing_requests_that_come_at_once_are_applied_one_after_another() {
	const REQUESTS: u64 = 12;
	let worker = Worker::start(&[built("agents/hello")]);
	let counts: BTreeSet<u64> = std::thread::scope(|scope| {
		let requests: Vec<_> = (0..REQUESTS)
			.map(|_| scope.spawn(|| worker.post("/agents/hello/count").json()["count"].as_u64()))
			.collect();
		requests.into_iter().map(|request| request.join().unwrap().unwrap()).collect()
	});
	assert_eq!(counts, (1..=REQUESTS).collect());
}

#[test]
fn the_oracle_answers_with_the_median_and_keeps_the_last_price() {
	let prices = [
		price_server(r#"{"data":{"amount":"100"}}"#),
		price_server(r#"{"usd":102}"#),
		price_server(r#"{"result":{"c":["5000"]}}"#),
	];
	let paths = ["data.amount", "usd", "result.c.0"];
	let sources: Vec<_> = prices
		.iter()
		.zip(paths)
		.map(|(address, price)| json!({ "url": format!("http://{address}/"), "price": price }))
		.collect();
	let mut oracle = built("agents/price-oracle");
	oracle.manifest.egress =
		prices.iter().map(|address| format!("http://{address}").parse().unwrap()).collect();
	oracle.manifest.config.insert("sources".into(), json!(sources).to_string());
	let loopback = prices.each_ref().map(|address| format!("--dev-loopback={address}"));
	let worker = Worker::start_with(&[oracle], &loopback);

	assert_eq!(worker.get("/agents/price-oracle/last").status, 404);
	let read = worker.get("/agents/price-oracle/");
	assert_eq!(read.json()["price"], 101, "{}", read.text());
	assert!(read.json()["refused"][0]["reason"].as_str().unwrap().contains("too far"));
	assert_eq!(read.header("x-phala-unproven-inputs"), Some("3"), "plain HTTP is no proof");
	assert_eq!(worker.get("/agents/price-oracle/last").status, 404, "a GET keeps nothing");

	assert_eq!(worker.post("/agents/price-oracle/").json()["price"], 101);
	assert_eq!(worker.get("/agents/price-oracle/last").json()["price"], 101);
}

#[test]
fn villains_end_with_their_limit_while_hello_goes_on_answering() {
	let flags = ["--dev-agent-logs".to_owned()];
	let mut worker = Worker::start_with(&[built("agents/hello"), built(HOSTILE)], &flags);
	let villains = [
		("GET", "/endless-loop", 422, "CpuTime"),
		("GET", "/endless-microtasks", 422, "CpuTime"),
		("GET", "/memory-hog", 422, "Memory"),
		("GET", "/deep-recursion", 422, "Stack"),
		("GET", "/self-call", 422, "CallDepth"),
		("GET", "/log-flood", 422, "LogLines"),
		("GET", "/gigabyte-answer", 422, "ResponseBytes"),
		("GET", "/call-flood", 422, "OutboundCalls"),
		("GET", "/timer-flood", 422, "PendingCalls"),
		("POST", "/state-flood", 422, "StateWriteKeys"),
		("POST", "/state-bloat", 422, "StateWriteBytes"),
		("POST", "/state-giant", 422, "StateValueBytes"),
		// A GET may not write at all, and the villain does not catch that.
		("GET", "/state-flood", 500, "Uncaught"),
		("POST", "/writes-then-throws", 500, "Uncaught"),
	];
	let done = AtomicBool::new(false);
	std::thread::scope(|scope| {
		let answering = scope.spawn(|| {
			let mut answers = 0;
			while !done.load(Ordering::Relaxed) || answers == 0 {
				let answer = worker.get("/agents/hello/");
				assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!"));
				answers += 1;
			}
		});
		let running = villains.map(|(method, path, status, name)| {
			let worker = &worker;
			scope.spawn(move || {
				let answer = worker.request(method, &format!("/agents/hostile{path}"), b"");
				let got = (answer.status, answer.error());
				(method, path, (status, name.to_owned()), got, answer.text())
			})
		});
		let ended: Vec<_> = running.into_iter().map(|villain| villain.join()).collect();
		done.store(true, Ordering::Relaxed);
		answering.join().unwrap();
		for villain in ended {
			let (method, path, expected, got, text) = villain.unwrap();
			assert_eq!(got, expected, "{method} {path}: {text}");
			assert!(!text.contains("after the write"), "what it threw is nobody else's: {text}");
		}
	});
	// Its developer reads what ended it, as its owner does in `phala logs`.
	for limit in ["CpuTime", "Memory", "StateWriteKeys"] {
		worker.says(&format!("\"{limit}: the "));
	}
}

#[test]
fn too_long_a_body_is_refused_by_name() {
	let mut hello = built("agents/hello");
	hello.manifest.limits.request_bytes = Some(1_000);
	let worker = Worker::start(&[hello]);
	assert_eq!(worker.request("POST", "/agents/hello/", &[0; 500]).status, 200);
	let refused = worker.request("POST", "/agents/hello/", &[0; 1_001]);
	assert_eq!((refused.status, refused.error().as_str()), (413, "RequestBytes"));
}

#[test]
fn hoarders_of_bodies_are_refused_by_name_and_hold_nothing_when_they_are_gone() {
	const BODY: usize = 4 * 1024 * 1024;
	const HOARDERS: usize = CALLER_BODIES_BYTES_MAX / BODY + 8;
	let worker = Worker::start(&[built("agents/hello")]);
	let head = format!(
		"POST /agents/hello/count HTTP/1.1\r\nhost: worker\r\nconnection: close\r\ncontent-length: {BODY}\r\n\r\n"
	);
	// All of a body but its last byte.
	let hoarded = vec![0; BODY - 1];
	let mut hoarders = Vec::new();
	for _ in 0..HOARDERS {
		let mut stream = worker.connect();
		stream.write_all(head.as_bytes()).unwrap();
		// The last ones are refused while they send.
		let _ = stream.write_all(&hoarded);
		hoarders.push(stream);
		assert_eq!(
			worker.get("/agents/hello/").text(),
			"Hello, world!",
			"without a body it goes on"
		);
	}
	let refused = worker.request("POST", "/agents/hello/count", &[0; 10_000]);
	assert_eq!((refused.status, refused.error().as_str()), (503, "TooManyRequests"));
	drop(hoarders);
	let gone = Instant::now();
	while worker.request("POST", "/agents/hello/count", &[0; 10_000]).status != 200 {
		assert!(gone.elapsed() < Duration::from_secs(60));
	}
}

#[test]
fn forbidden_destinations_are_refused_by_name() {
	let undeclared = price_server("{}");
	let worker = Worker::start_with(&[built(HOSTILE)], &[format!("--dev-loopback={undeclared}")]);
	let code =
		|url: &str| worker.get(&format!("/agents/hostile/fetch?url={url}")).json()["code"].clone();
	assert_eq!(code("https://example.com/"), "not-declared");
	// The flag opens the way, and the manifest does not.
	assert_eq!(code(&format!("http://{undeclared}/")), "not-declared");
	// The manifest allows it, and no flag does.
	assert_eq!(code("http://127.0.0.1:1/"), "address-refused");
	assert_eq!(worker.get("/agents/hostile/undeclared-secret").json()["code"], "not-declared");
}

#[test]
fn requests_at_once_never_see_each_others_globals_or_random_numbers() {
	const REQUESTS: usize = 8;
	let worker = Worker::start(&[built(HOSTILE)]);
	let drawn: BTreeSet<String> = std::thread::scope(|scope| {
		let requests: Vec<_> = (0..REQUESTS)
			.map(|_| {
				scope.spawn(|| {
					let traces = worker.get("/agents/hostile/leaves-traces").text();
					assert_eq!(traces, "[1,1,1]");
					worker.get("/agents/hostile/randomness").json()
				})
			})
			.collect();
		requests
			.into_iter()
			.flat_map(|request| request.join().unwrap().as_array().unwrap().clone())
			.map(|number| number.to_string())
			.collect()
	});
	assert_eq!(drawn.len(), REQUESTS * 4, "each draw once: {drawn:?}");
}

#[test]
fn secrets_come_from_the_file_and_only_those_that_are_declared() {
	let chat: Agent = built("agents/chat");
	let folder = tempfile::tempdir().unwrap();
	let file = folder.path().join("secrets.json");
	let flag = format!("--dev-secrets-file={}", file.display());

	std::fs::write(&file, r#"{"chat":{"OTHER":"s3cret"}}"#).unwrap();
	let refusal = Worker::refusal(std::slice::from_ref(&chat), std::slice::from_ref(&flag));
	assert!(refusal.contains("declares no secret OTHER"), "{refusal}");
	assert!(!refusal.contains("s3cret"));

	std::fs::write(&file, r#"{"nobody":{"API_KEY":"s3cret"}}"#).unwrap();
	let refusal = Worker::refusal(std::slice::from_ref(&chat), std::slice::from_ref(&flag));
	assert!(refusal.contains("nobody"), "{refusal}");

	std::fs::write(&file, r#"{"chat":{"API_KEY":"s3cret"}}"#).unwrap();
	let worker = Worker::start_with(std::slice::from_ref(&chat), &[flag]);
	let with_key = worker.request("POST", "/agents/chat/", b"no json");
	assert_eq!(with_key.status, 400, "it has a key, and looks at the message: {}", with_key.text());
	let without_key = Worker::start(&[chat]);
	let message = br#"{"message":"hi"}"#;
	assert_eq!(without_key.request("POST", "/agents/chat/", message).status, 503);
}
