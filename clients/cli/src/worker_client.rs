//! A client of a worker's public server. What comes back is believed only as far as it is sealed to
//! this user, hashed or signed.

use crate::{
	chain::hash,
	limits,
	output::operators::{NotReady, WorkerStatus},
};
use anyhow::{bail, Context};
use phala_protocol::{
	agents::{AgentCode, AgentId},
	boot::WorkerId,
	refusals::Refusal,
	H256,
};
use reqwest::{header::HeaderMap, redirect::Policy, Client, Method, Response, StatusCode};
use serde::Deserialize;
use std::time::Duration;

/// Number of the first line of a page of a log.
const LOG_FIRST: &str = "x-phala-log-first";
/// `1` if there are older lines than the page's.
const LOG_OLDER: &str = "x-phala-log-older";

/// A page of an agent's log.
pub struct LogPage {
	/// SCALE of a `Sealed`, which opens to `Vec<LogEntry>`.
	pub sealed: Vec<u8>,
	/// The number of its first line, counted from the boot's first.
	pub first: Option<u64>,
	/// The number that older lines are asked for by, if there are any.
	pub older_before: Option<u64>,
}

/// A worker at a URL.
#[derive(Clone)]
pub struct WorkerClient {
	url: String,
	client: Client,
}

/// A worker said no.
#[derive(Clone, Debug, Default, Deserialize, thiserror::Error)]
#[error("{error}: {}", self.why())]
pub struct WorkerError {
	/// HTTP's.
	#[serde(skip)]
	pub status: u16,
	/// Its name.
	pub error: String,
	#[serde(default)]
	pub message: String,
	/// With `NotLeaseHolder`: who has the lease.
	#[serde(default)]
	pub worker: Option<WorkerId>,
}

impl WorkerError {
	/// What it says besides its name, which its message may begin with.
	fn why(&self) -> &str {
		let named = format!("{}: ", self.error);
		self.message.split_once(&named).map_or(&*self.message, |(_, why)| why)
	}

	/// Whether it says no for this reason.
	pub fn is(&self, refusal: Refusal) -> bool {
		Refusal::from_name(&self.error) == Some(refusal)
	}
}

/// What a boot's evidence vouches for when somebody asks.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
	/// SCALE of [`phala_protocol::evidence::Evidence`], in hexadecimal.
	pub evidence: String,
}

#[derive(Deserialize)]
struct AgentList {
	agents: Vec<ListedAgent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedAgent {
	id: String,
	ready: bool,
	#[serde(default)]
	lacks: Option<String>,
	code_hash: String,
	manifest_hash: String,
	#[serde(default)]
	planned: Option<PlannedCode>,
}

/// Code that is to run later.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlannedCode {
	code_hash: String,
	manifest_hash: String,
	progress: String,
	#[serde(default)]
	message: Option<String>,
}

/// How far code of an agent is at a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeProgress {
	/// It runs, or can as soon as the chain names it.
	Ready,
	/// It is being fetched or compiled.
	OnItsWay,
	/// It is no code for this worker: why not.
	Refused(String),
}

/// Whether an agent answers at a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
	Ready,
	/// What is missing, for people, as the worker says.
	Lacks(String),
}

impl ListedAgent {
	fn progress(self, code: &AgentCode) -> CodeProgress {
		let names = |component: &str, manifest: &str| {
			(component, manifest)
				== (&*format!("{:?}", code.component), &*format!("{:?}", code.manifest))
		};
		if names(&self.code_hash, &self.manifest_hash) {
			return if self.ready { CodeProgress::Ready } else { CodeProgress::OnItsWay };
		}
		let planned =
			self.planned.filter(|planned| names(&planned.code_hash, &planned.manifest_hash));
		match planned {
			Some(planned) if planned.progress == "ready" => CodeProgress::Ready,
			Some(planned) if planned.progress == "refused" => {
				CodeProgress::Refused(planned.message.unwrap_or_default())
			}
			_ => CodeProgress::OnItsWay,
		}
	}
}

impl WorkerClient {
	pub fn new(url: &str) -> anyhow::Result<Self> {
		// Anybody can be a worker's server: it says nowhere else to ask.
		let client = Client::builder()
			.connect_timeout(limits::INFO_MAX)
			.redirect(Policy::none())
			.no_proxy()
			.build()?;
		Ok(Self { url: url.trim_end_matches('/').into(), client })
	}

	/// Uploads code or a manifest.
	pub async fn put_code(&self, hash: H256, bytes: Vec<u8>) -> anyhow::Result<()> {
		let path = format!("/v1/code/{hash:?}");
		self.send(Method::PUT, &path, bytes, limits::UPLOAD_MAX).await.map(drop)
	}

	/// Code or a manifest; whether it is what was asked for is for the asker to check.
	pub async fn code(&self, hash: H256) -> anyhow::Result<Vec<u8>> {
		self.get(&format!("/v1/code/{hash:?}")).await
	}

	/// A sealed call of an agent.
	pub async fn call(&self, agent: AgentId, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
		let path = format!("/v1/agents/{agent:?}/call");
		self.send(Method::POST, &path, body, limits::CALL_MAX).await
	}

	/// Whether an agent answers here: its code is compiled, its state is what the chain committed.
	pub async fn standing(&self, agent: AgentId) -> anyhow::Result<Standing> {
		Ok(match self.agent(agent).await? {
			Some(ListedAgent { ready: true, .. }) => Standing::Ready,
			Some(ListedAgent { lacks, .. }) => {
				Standing::Lacks(lacks.unwrap_or_else(|| "it does not say why".into()))
			}
			None => Standing::Lacks("it does not know of the agent yet".into()),
		})
	}

	/// How far code of an agent is here, which runs or is to run later.
	pub async fn progress(&self, agent: AgentId, code: &AgentCode) -> anyhow::Result<CodeProgress> {
		let found = self.agent(agent).await?;
		Ok(found.map_or(CodeProgress::OnItsWay, |agent| agent.progress(code)))
	}

	/// Its cluster's agents that do not answer here, and why.
	pub async fn not_ready(&self) -> anyhow::Result<Vec<NotReady>> {
		let listed = self.agents().await?.into_iter().filter(|agent| !agent.ready);
		let not_ready = listed.filter_map(|ListedAgent { id, lacks, .. }| {
			// What is no id names no agent.
			let agent = hash(&id).ok()?.into();
			Some(NotReady { agent, name: None, lacks })
		});
		Ok(not_ready.collect())
	}

	async fn agent(&self, agent: AgentId) -> anyhow::Result<Option<ListedAgent>> {
		let id = format!("{agent:?}");
		Ok(self.agents().await?.into_iter().find(|agent| agent.id == id))
	}

	async fn agents(&self) -> anyhow::Result<Vec<ListedAgent>> {
		let answer = self.get("/v1/agents").await?;
		let listed: AgentList = serde_json::from_slice(&answer)
			.with_context(|| format!("{} gave no list of agents", self.url))?;
		Ok(listed.agents)
	}

	/// A page of an agent's log, for its owner: the newest, or the one of lines older than `before`.
	pub async fn logs(
		&self,
		agent: AgentId,
		before: Option<u64>,
		body: Vec<u8>,
	) -> anyhow::Result<LogPage> {
		let query = before.map(|before| format!("?before={before}")).unwrap_or_default();
		let path = format!("/v1/agents/{agent:?}/logs{query}");
		let (headers, sealed) =
			self.exchange(Method::POST, &path, body, limits::DIRECT_MAX).await?;
		let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
		let first = header(LOG_FIRST).and_then(|first| first.parse().ok());
		let older_before = first.filter(|_| header(LOG_OLDER) == Some("1"));
		Ok(LogPage { sealed, first, older_before })
	}

	/// What it says of itself.
	pub async fn info(&self) -> anyhow::Result<WorkerStatus> {
		let answer = self.get("/v1/info").await?;
		serde_json::from_slice(&answer)
			.with_context(|| format!("{} does not say what a worker does", self.url))
	}

	/// Fresh evidence for whoever chose `nonce`.
	pub async fn report(&self, nonce: [u8; 32]) -> anyhow::Result<Report> {
		let path = format!("/v1/attestation/report?nonce=0x{}", hex::encode(nonce));
		let answer = self.get(&path).await?;
		serde_json::from_slice(&answer).with_context(|| format!("{} gave no report", self.url))
	}

	async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
		self.send(Method::GET, path, Vec::new(), limits::INFO_MAX).await
	}

	async fn send(
		&self,
		method: Method,
		path: &str,
		body: Vec<u8>,
		wait_max: Duration,
	) -> anyhow::Result<Vec<u8>> {
		Ok(self.exchange(method, path, body, wait_max).await?.1)
	}

	async fn exchange(
		&self,
		method: Method,
		path: &str,
		body: Vec<u8>,
		wait_max: Duration,
	) -> anyhow::Result<(HeaderMap, Vec<u8>)> {
		let at = format!("{}{path}", self.url);
		let request = self.client.request(method, &at).timeout(wait_max).body(body);
		let answer = request.send().await.map_err(reqwest::Error::without_url);
		let answer = answer.with_context(|| format!("no worker answers at {}", self.url))?;
		let status = answer.status();
		let headers = answer.headers().clone();
		let bytes = read_body(answer, &at).await?;
		if status.is_success() {
			return Ok((headers, bytes));
		}
		// A worker has no such path: an older one.
		let is_no_path = |refusal: &WorkerError| {
			status == StatusCode::NOT_FOUND && refusal.is(Refusal::BadRequest)
		};
		match serde_json::from_slice::<WorkerError>(&bytes) {
			Ok(refusal) if !is_no_path(&refusal) => {
				Err(WorkerError { status: status.as_u16(), ..refusal }.into())
			}
			Ok(_) | Err(_) if status == StatusCode::NOT_FOUND => {
				refuse!("NoWorker", "{at} is not there: is this the public server of a worker as new as this `phala`?")
			}
			Ok(_) | Err(_) => refuse!(
				"NoWorker",
				"{at} answered with {status} and no reason: {}",
				String::from_utf8_lossy(&bytes).chars().take(200).collect::<String>()
			),
		}
	}
}

/// A body as it comes, as far as any honest worker's goes.
async fn read_body(mut answer: Response, at: &str) -> anyhow::Result<Vec<u8>> {
	let mut bytes = Vec::new();
	while let Some(part) = answer.chunk().await.with_context(|| format!("{at} broke off"))? {
		bytes.extend_from_slice(&part);
		let max = limits::WORKER_ANSWER_BYTES_MAX;
		if bytes.len() > max {
			bail!("{at} sends more than {max} bytes, and no worker has so much to say: it is not read on")
		}
	}
	Ok(bytes)
}

/// The refusal in an error, if a worker said no.
pub fn refusal(error: &anyhow::Error) -> Option<&WorkerError> {
	error.downcast_ref()
}

/// Whether no connection was made: the worker cannot have seen what was to be sent.
pub fn was_never_asked(error: &anyhow::Error) -> bool {
	error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}

#[cfg(test)]
mod tests {
	use super::*;
	use axum::{routing::post, Json, Router};
	use serde_json::json;

	#[test]
	fn how_far_code_is_is_read_of_what_runs_and_of_what_is_to_run() {
		let code = |n| AgentCode { component: H256([n; 32]), manifest: H256([n + 100; 32]) };
		let (now, planned, other) = (code(1), code(2), code(3));
		let progress = |of: &AgentCode, ready: bool, progress: &str| {
			let hex = |hash: H256| format!("{hash:?}");
			let listed = json!({
				"id": "0x07", "ready": ready,
				"codeHash": hex(now.component), "manifestHash": hex(now.manifest),
				"planned": {
					"codeHash": hex(planned.component), "manifestHash": hex(planned.manifest),
					"progress": progress, "message": "why",
				},
			});
			serde_json::from_value::<ListedAgent>(listed).unwrap().progress(of)
		};
		assert_eq!(progress(&now, true, "awaited"), CodeProgress::Ready);
		assert_eq!(progress(&now, false, "ready"), CodeProgress::OnItsWay);
		assert_eq!(progress(&planned, false, "ready"), CodeProgress::Ready);
		assert_eq!(progress(&planned, true, "compiling"), CodeProgress::OnItsWay);
		assert_eq!(progress(&planned, true, "refused"), CodeProgress::Refused("why".into()));
		assert_eq!(progress(&other, true, "ready"), CodeProgress::OnItsWay);
		// The same component under another manifest is other code.
		let remade = AgentCode { manifest: other.manifest, ..planned };
		assert_eq!(progress(&remade, true, "ready"), CodeProgress::OnItsWay);
	}

	#[tokio::test]
	async fn the_agents_that_are_not_ready_are_named() {
		let agent = |n: u8, ready: bool, lacks: Option<&str>| {
			let id = format!("{:?}", H256([n; 32]));
			json!({ "id": id, "ready": ready, "lacks": lacks, "codeHash": "", "manifestHash": "" })
		};
		let agents = [agent(1, true, None), agent(2, false, Some("code")), agent(3, false, None)];
		let listed = json!({ "agents": agents });
		let router = Router::new()
			.route("/v1/agents", axum::routing::get(|| async move { Json(listed.clone()) }));
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let client =
			WorkerClient::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
		tokio::spawn(async move { axum::serve(listener, router).await });
		let not_ready = |n: u8, lacks: Option<&str>| NotReady {
			agent: H256([n; 32]).into(),
			name: None,
			lacks: lacks.map(str::to_owned),
		};
		let told = client.not_ready().await.unwrap();
		assert_eq!(told, [not_ready(2, Some("code")), not_ready(3, None)]);
	}

	#[test]
	fn a_refusal_is_said_once_however_its_worker_words_it() {
		let said = |message: &str| {
			let error = "Uncaught".into();
			WorkerError { error, message: message.into(), ..WorkerError::default() }.to_string()
		};
		let once = "Uncaught: the agent threw";
		assert_eq!(said("the agent threw"), once);
		assert_eq!(said("the run failed: Uncaught: the agent threw"), once);
	}

	#[tokio::test]
	async fn a_refusal_is_read_with_who_has_the_lease() {
		let refusing = || async {
			let body =
				json!({ "error": "NotLeaseHolder", "message": "worker 2 has it", "worker": 2 });
			(axum::http::StatusCode::CONFLICT, Json(body))
		};
		let agent = H256([7; 32]);
		let router = Router::new().route(&format!("/v1/agents/{agent:?}/call"), post(refusing));
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let client =
			WorkerClient::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
		tokio::spawn(async move { axum::serve(listener, router).await });
		let error = client.call(agent, vec![]).await.unwrap_err();
		let refusal = refusal(&error).expect("it is a refusal");
		assert_eq!((refusal.status, refusal.worker), (409, Some(2)));
		assert_eq!(format!("{error:#}"), "NotLeaseHolder: worker 2 has it");
		let error = client.report([0; 32]).await.unwrap_err().to_string();
		assert!(error.contains("not there"), "{error}");
	}

	/// Sends as long as somebody reads.
	async fn endless(listener: tokio::net::TcpListener) -> std::io::Result<()> {
		use tokio::io::{AsyncReadExt, AsyncWriteExt};
		let (mut caller, _) = listener.accept().await?;
		let _ = caller.read(&mut [0; 4096]).await?;
		caller.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
		loop {
			caller.write_all(&[b' '; 64 * 1024]).await?;
		}
	}

	/// Is asked what it does, and names another place to ask.
	#[tokio::test]
	async fn a_signpost_sends_nobody_elsewhere() {
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let url = format!("http://{}", listener.local_addr().unwrap());
		let elsewhere = axum::response::Redirect::temporary("/elsewhere");
		let router = Router::new()
			.route("/v1/info", axum::routing::get(move || async move { elsewhere }))
			.route("/elsewhere", axum::routing::get(|| async { Json(json!({ "worker": 1 })) }));
		tokio::spawn(async move { axum::serve(listener, router).await });
		let client = WorkerClient::new(&url).unwrap();
		let error = client.info().await.unwrap_err().to_string();
		assert!(error.contains("307"), "{error}");
	}

	#[tokio::test]
	async fn a_worker_that_never_ends_its_answer_is_not_read_on() {
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let client =
			WorkerClient::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
		tokio::spawn(endless(listener));
		let error = client.standing(H256([7; 32])).await.unwrap_err().to_string();
		assert!(error.contains("is not read on"), "{error}");
		let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
		let url = format!("http://{}/", listener.local_addr().unwrap());
		tokio::spawn(endless(listener));
		let error = crate::commands::status::info(&url).await.unwrap_err().to_string();
		assert!(error.contains("is not read on"), "{error}");
	}
}
