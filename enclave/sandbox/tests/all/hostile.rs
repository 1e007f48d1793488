//! Villains: each ends with the limit that it passed, by name, and hurts nobody else.

use crate::common::server::{ok, redirect, Server};
use crate::common::*;
use phala_agent_manifest::limits::{LimitsRequest, CPU_MS_CEILING, WALL_MS_CEILING};
use phala_sandbox::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

fn hostile() -> TestAgent {
	TestAgent::new("enclave/sandbox/tests/hostile")
}

/// Where only the limit that is meant may be passed, however slow the machine is.
fn patient(limits: &mut LimitsRequest) {
	limits.cpu_ms = Some(CPU_MS_CEILING);
	limits.wall_ms = Some(WALL_MS_CEILING);
}

fn changed(change: impl FnOnce(&mut Manifest)) -> TestAgent {
	TestAgent::with("enclave/sandbox/tests/hostile", change, BTreeMap::new(), Vec::new())
}

/// An agent whose calls of any agent reach itself.
fn calling_itself() -> TestAgent {
	let agent = hostile();
	let callee = Callee {
		loaded: agent.loaded.clone(),
		manifest: agent.manifest.clone(),
		host: agent.host.clone(),
	};
	*agent.host.callee.lock().unwrap() = Some(callee);
	agent
}

async fn limit_of(path: &str) -> Limit {
	let failure = hostile().run(get(path)).await.expect_err(path);
	let limit = failure.error.limit().unwrap_or_else(|| panic!("{path}: {}", told(&failure)));
	assert!(failure.error.to_string().contains(&limit.to_string()), "{path}: {}", failure.error);
	limit
}

#[tokio::test]
async fn a_guest_that_computes_for_ever_ends_with_the_cpu_limit() {
	assert_eq!(limit_of("/endless-loop").await, Limit::CpuTime);
	assert_eq!(limit_of("/endless-microtasks").await, Limit::CpuTime);
}

#[tokio::test]
async fn a_memory_hog_ends_with_the_memory_limit_even_if_it_catches_the_error() {
	assert_eq!(limit_of("/memory-hog").await, Limit::Memory);
}

#[tokio::test]
async fn endless_recursion_ends_with_the_call_stack_limit() {
	assert_eq!(limit_of("/deep-recursion").await, Limit::Stack);
}

#[tokio::test]
async fn an_agent_that_calls_itself_ends_with_the_call_depth_and_cannot_swallow_it() {
	let agent = calling_itself();
	let failure = agent.run(get("/self-call")).await.unwrap_err();
	assert_eq!(failure.error.limit(), Some(Limit::CallDepth), "{}", told(&failure));
	agent.host.callee.lock().unwrap().take();
}

#[tokio::test]
async fn a_tree_of_calls_is_no_larger_than_its_first_requests_limit() {
	let agent = calling_itself();
	let failure = agent.run(get("/call-tree")).await.unwrap_err();
	assert_eq!(failure.error.limit(), Some(Limit::OutboundCalls), "{}", told(&failure));
	let runs = agent.host.runs_seen();
	assert!(
		runs > 3 && runs <= 1 + failure.usage.outbound_calls,
		"{runs} runs, {:?}",
		failure.usage
	);
	agent.host.callee.lock().unwrap().take();
}

#[tokio::test]
async fn log_floods_end_with_the_log_limits() {
	assert_eq!(limit_of("/log-flood").await, Limit::LogLines);
	assert_eq!(limit_of("/long-log").await, Limit::LogBytes);
}

#[tokio::test]
async fn a_gigabyte_of_answer_ends_with_the_response_limit() {
	assert_eq!(limit_of("/gigabyte-answer").await, Limit::ResponseBytes);
}

#[tokio::test]
async fn floods_of_host_calls_end_with_their_limits() {
	assert_eq!(limit_of("/call-flood").await, Limit::OutboundCalls);
	assert_eq!(limit_of("/timer-flood").await, Limit::PendingCalls);
	assert_eq!(limit_of("/upload-flood").await, Limit::FetchedBytes);
	assert_eq!(limit_of("/entropy-hog").await, Limit::CpuTime);
}

#[tokio::test]
async fn a_flood_of_cheap_host_calls_ends_with_their_limit() {
	let agent = changed(|manifest| patient(&mut manifest.limits));
	let failure = agent.run(get("/host-call-flood")).await.unwrap_err();
	assert_eq!(failure.error.limit(), Some(Limit::HostCalls), "{}", told(&failure));
}

#[tokio::test]
async fn floods_of_state_end_with_their_limits() {
	assert_eq!(limit_of("/state-flood").await, Limit::StateWriteKeys);
	assert_eq!(limit_of("/state-bloat").await, Limit::StateWriteBytes);
	assert_eq!(limit_of("/state-giant").await, Limit::StateValueBytes);
	assert_eq!(limit_of("/state-long-key").await, Limit::StateKeyBytes);
}

#[tokio::test]
async fn reads_by_a_key_that_no_entry_can_have_end_with_its_limit() {
	assert_eq!(limit_of("/state-get-long-key").await, Limit::StateKeyBytes);
	assert_eq!(limit_of("/state-scan-long-prefix").await, Limit::StateKeyBytes);
	assert_eq!(limit_of("/state-scan-long-start").await, Limit::StateKeyBytes);
}

#[tokio::test]
async fn what_goes_out_besides_bodies_ends_with_the_limit_of_fetched_bytes() {
	let agent = changed(|manifest| {
		manifest.limits.fetched_bytes = Some(64 * 1024);
		patient(&mut manifest.limits);
	});
	for path in ["/header-flood", "/url-flood", "/agent-path-flood"] {
		let failure = agent.run(get(path)).await.unwrap_err();
		assert_eq!(failure.error.limit(), Some(Limit::FetchedBytes), "{path}: {}", told(&failure));
	}
}

/// A server that begins long answers and never ends them, until it is dropped.
struct Withholder {
	authority: String,
	task: tokio::task::JoinHandle<()>,
}

impl Withholder {
	async fn start(begun_bytes: usize) -> Self {
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let authority = listener.local_addr().unwrap().to_string();
		let task = tokio::spawn(async move {
			let mut held = Vec::new();
			while let Ok((mut stream, _)) = listener.accept().await {
				let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
				let _ = stream.write_all(head.as_bytes()).await;
				let _ = stream.write_all(&vec![7; begun_bytes]).await;
				held.push(stream);
			}
		});
		Self { authority, task }
	}
}

impl Drop for Withholder {
	fn drop(&mut self) {
		self.task.abort();
	}
}

#[tokio::test]
async fn fetches_under_way_together_hold_no_more_than_one_run_may() {
	// None passes the limit alone, and none ends.
	let withholder = Withholder::start(40 * 1024).await;
	let url = format!("http://{}", withholder.authority);
	let agent = TestAgent::with(
		"enclave/sandbox/tests/hostile",
		|manifest| {
			manifest.egress = vec![url.parse().unwrap()];
			manifest.limits.fetched_bytes = Some(100 * 1024);
			patient(&mut manifest.limits);
		},
		BTreeMap::new(),
		vec![withholder.authority.clone()],
	);
	let failure = agent.run(get(&format!("/fetch-herd?url={url}/"))).await.unwrap_err();
	assert_eq!(failure.error.limit(), Some(Limit::FetchedBytes), "{}", told(&failure));
}

#[tokio::test]
async fn floods_of_reads_of_what_the_run_itself_wrote_end_with_their_limit() {
	let agent = changed(|manifest| patient(&mut manifest.limits));
	for path in ["/state-own-read-flood", "/state-own-scan-flood"] {
		let failure = agent.run(get(path)).await.expect_err(path);
		assert_eq!(
			failure.error.limit(),
			Some(Limit::StateReadBytes),
			"{path}: {}",
			told(&failure)
		);
	}
}

#[tokio::test]
async fn a_flood_of_reads_of_what_an_earlier_run_kept_ends_with_their_limit() {
	let agent = changed(|manifest| patient(&mut manifest.limits));
	agent.run(get("/state-keep")).await.unwrap();
	let failure = agent.run(get("/state-read-flood")).await.unwrap_err();
	assert_eq!(failure.error.limit(), Some(Limit::StateReadBytes), "{}", told(&failure));
}

#[tokio::test]
async fn a_sleeper_ends_with_the_wall_time_and_has_used_little_cpu() {
	let agent = TestAgent::with(
		"enclave/sandbox/tests/hostile",
		|manifest| manifest.limits.wall_ms = Some(200),
		BTreeMap::new(),
		Vec::new(),
	);
	for path in ["/sleeps", "/never-answers"] {
		let failure = agent.run(get(path)).await.unwrap_err();
		match failure.error {
			RunError::LimitExceeded(exceeded) => assert_eq!(exceeded.limit, Limit::WallTime),
			// A guest that waits for nothing at all is told apart from one that waits for long.
			RunError::NoAnswer if path == "/never-answers" => {}
			_ => panic!("{path}: {}", told(&failure)),
		}
		assert!(failure.usage.cpu_us < 200_000, "{path}: waiting was counted: {:?}", failure.usage);
	}
}

#[tokio::test]
async fn too_large_a_request_is_refused_before_it_runs() {
	let agent = TestAgent::with(
		"enclave/sandbox/tests/hostile",
		|manifest| manifest.limits.request_bytes = Some(1_000),
		BTreeMap::new(),
		Vec::new(),
	);
	assert!(agent.run(request("POST", "/", vec![0; 999])).await.is_ok());
	let failure = agent.run(request("POST", "/", vec![0; 1_000])).await.unwrap_err();
	assert_eq!(failure.error.limit(), Some(Limit::RequestBytes));
}

#[tokio::test]
async fn an_error_that_the_agent_does_not_catch_is_told_and_in_its_log_only() {
	let failure = hostile().run(get("/throws")).await.unwrap_err();
	assert_eq!(failure.error, RunError::Uncaught);
	assert!(!format!("{failure} {failure:?}").contains("thrown on purpose"));
	assert!(failure.logs[0].message.contains("thrown on purpose"), "{}", told(&failure));

	let failure = hostile().run(get("/not-a-response")).await.unwrap_err();
	assert!(told(&failure).contains("must return a Response"), "{}", told(&failure));
}

/// The line of the agent's main module that has this text.
fn line_of(text: &str) -> usize {
	let source = repository().join("enclave/sandbox/tests/hostile/src/index.ts");
	let source = std::fs::read_to_string(source).unwrap();
	1 + source.lines().position(|line| line.contains(text)).unwrap()
}

#[tokio::test]
async fn an_error_s_log_names_the_line_of_the_source_that_threw_it() {
	let failure = hostile().run(get("/throws")).await.unwrap_err();
	let place = format!("src/index.ts:{})", line_of("thrown on purpose"));
	assert!(failure.logs[0].message.contains(&place), "{place}: {}", told(&failure));
	// Deeper in, from a text that the agent made of it, and without a place of the engine's own.
	let logs = hostile().run(get("/logs-a-stack")).await.unwrap().logs;
	for line in ["thrown deeper", "throwsDeeper()"] {
		let place = format!("src/index.ts:{}", line_of(line));
		assert!(logs[0].message.contains(&place), "{place}: {}", logs[0].message);
	}
	assert!(!logs[0].message.contains("user.js"), "{}", logs[0].message);
}

#[tokio::test]
async fn an_error_that_the_sdk_throws_later_names_the_line_that_called_it_and_none_of_the_sdk() {
	for (path, called) in [
		("/throws-of-json", "await request.json()"),
		("/throws-of-fetch", "/undeclared"),
		("/throws-of-a-secret", "UNKNOWN"),
		("/throws-of-state", "getJson"),
		("/throws-of-an-agent", "/of no agent"),
	] {
		let failure = hostile().run(request("POST", path, b"xx".to_vec())).await.unwrap_err();
		assert_eq!(failure.error, RunError::Uncaught, "{path}");
		let place = format!("src/index.ts:{})", line_of(called));
		let message = &failure.logs[0].message;
		assert!(message.contains(&place), "{path}: {place}: {message}");
		assert!(!message.contains("agent.js"), "{path}: {message}");
	}
}

#[tokio::test]
async fn a_request_that_fails_writes_nothing() {
	let agent = hostile();
	let failure = agent.run(get("/writes-then-throws")).await.unwrap_err();
	assert_eq!(failure.error, RunError::Uncaught);
	assert!(agent.host.state.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_request_that_may_only_read_cannot_write() {
	let agent = hostile();
	let reading = Context { writable: false, ..context() };
	let failure = agent.run_in(get("/state-flood"), reading).await.unwrap_err();
	assert!(told(&failure).contains("may only read state"), "{}", told(&failure));
}

#[tokio::test]
async fn a_secret_that_the_manifest_does_not_name_is_refused() {
	assert_eq!(
		json(&hostile().run(get("/undeclared-secret")).await.unwrap())["code"],
		"not-declared"
	);
}

#[tokio::test]
async fn forbidden_destinations_are_refused_by_name() {
	let public = Server::start(|seen| match seen.path.as_str() {
		"/to-private" => redirect(302, "http://10.0.0.1/"),
		"/to-metadata" => redirect(302, "http://169.254.169.254/latest/meta-data/"),
		"/to-undeclared" => redirect(302, "http://127.0.0.2:9/"),
		_ => ok("fine"),
	})
	.await;
	let own = public.url("");
	let agent = TestAgent::with(
		"enclave/sandbox/tests/hostile",
		|manifest| {
			let allowed =
				[own.as_str(), "http://10.0.0.1", "http://169.254.169.254", "http://127.0.0.1:1"];
			manifest.egress = allowed.map(|rule| rule.parse().unwrap()).into();
		},
		BTreeMap::new(),
		vec![public.authority()],
	);
	let fetch = |url: String| {
		let path = format!("/fetch?url={url}");
		let agent = &agent;
		async move { json(&agent.run(get(&path)).await.unwrap()) }
	};
	let fine = fetch(public.url("/")).await;
	assert_eq!(fine["text"], "fine");
	assert_eq!(fine["authenticated"], false);

	assert_eq!(fetch("https://example.com/".into()).await["code"], "not-declared");
	// Declared, but neither public nor named by the dev preset.
	assert_eq!(fetch("http://127.0.0.1:1/".into()).await["code"], "address-refused");
	assert_eq!(fetch(public.url("/to-private")).await["code"], "address-refused");
	assert_eq!(fetch(public.url("/to-metadata")).await["code"], "address-refused");
	assert_eq!(fetch(public.url("/to-undeclared")).await["code"], "not-declared");

	let outcome = agent.run(get(&format!("/fetch?url={}", public.url("/")))).await.unwrap();
	assert_eq!(
		outcome.unproven_inputs,
		[UnprovenInput::PlainHttp { authority: public.authority() }]
	);
}

#[tokio::test]
async fn no_request_sees_another_requests_globals() {
	let agent = hostile();
	for _ in 0..3 {
		assert_eq!(agent.get("/leaves-traces").await, "[1,1,1]");
	}
	assert_eq!(agent.get("/reads-the-machine").await, r#"["undefined","undefined","undefined"]"#);
}

#[tokio::test]
async fn no_two_requests_draw_the_same_random_numbers() {
	let agent = hostile();
	let first = agent.run(get("/randomness")).await.unwrap();
	let second = agent.run(get("/randomness")).await.unwrap();
	let (first, second) = (json(&first), json(&second));
	for i in 0..4 {
		assert_ne!(first[i], second[i]);
	}
	assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn an_on_chain_request_draws_the_same_numbers_when_it_runs_again() {
	let agent = hostile();
	let drawn = |seed| {
		let context = Context { entropy_seed: Some([seed; 32]), ..context() };
		let agent = &agent;
		async move { text(&agent.run_in(get("/randomness"), context).await.unwrap()) }
	};
	assert_eq!(drawn(1).await, drawn(1).await);
	assert_ne!(drawn(1).await, drawn(2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_endless_runs_than_threads_let_another_agent_begin_and_end_its_own() {
	let villain = Arc::new(changed(|manifest| patient(&mut manifest.limits)));
	let hello = TestAgent::new("agents/hello");
	let mut running = tokio::task::JoinSet::new();
	for _ in 0..4 {
		let villain = villain.clone();
		running.spawn(async move { villain.run(get("/endless-loop")).await.map(drop) });
	}
	for _ in 0..5 {
		assert_eq!(hello.get("/").await, "Hello, world!");
	}
	assert!(running.try_join_next().is_none(), "all of them were still at it");
	running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_villains_run_another_agent_goes_on_answering() {
	let villains = Arc::new(hostile());
	let hello = TestAgent::new("agents/hello");
	let mut running = tokio::task::JoinSet::new();
	for path in [
		"/endless-loop",
		"/endless-microtasks",
		"/memory-hog",
		"/log-flood",
		"/gigabyte-answer",
		"/call-flood",
	] {
		let villains = villains.clone();
		running.spawn(async move { villains.run(get(path)).await.map(drop) });
	}
	let done = Arc::new(AtomicBool::new(false));
	let answering = {
		let done = done.clone();
		async move {
			let mut answers = 0;
			while !done.load(Ordering::Relaxed) {
				assert_eq!(hello.get("/").await, "Hello, world!");
				answers += 1;
				tokio::task::yield_now().await;
			}
			answers
		}
	};
	let answering = tokio::spawn(answering);
	while let Some(result) = running.join_next().await {
		assert!(result.unwrap().unwrap_err().error.limit().is_some());
	}
	done.store(true, Ordering::Relaxed);
	assert!(answering.await.unwrap() > 0);
}

#[tokio::test]
async fn a_fetch_may_take_as_long_as_the_manifest_lets_its_run_and_no_longer() {
	for wall_ms in [30_000, 300_000] {
		let agent = TestAgent::with(
			"enclave/sandbox/tests/hostile",
			|manifest| manifest.limits.wall_ms = Some(wall_ms),
			BTreeMap::new(),
			Vec::new(),
		);
		// Refused: nothing is fetched, but how long it might have taken is told.
		agent.get("/fetch?url=https://example.com/").await;
		let timeouts = agent.host.fetch_timeouts_ms.lock().unwrap().clone();
		assert_eq!(timeouts.len(), 1);
		// What the run took until there is off.
		assert!(timeouts[0] <= wall_ms && timeouts[0] > wall_ms / 2, "{timeouts:?} of {wall_ms}");
	}
}
