//! Workers as callers meet them, for tests: those that answer, and those that do not.

use super::silence::Patience;
use axum::{
	body::Bytes,
	extract::State,
	http::StatusCode,
	response::{IntoResponse, Response},
	routing::{get, post},
	Json, Router,
};
use phala_chain_client::clusters::Member;
use phala_protocol::{agents::AgentId, boot::WorkerId, BlockNumber, H256};
use serde_json::json;
use std::{
	sync::{
		atomic::{AtomicBool, AtomicUsize, Ordering},
		Arc, Mutex, PoisonError,
	},
	time::Duration,
};
use tokio::{
	io::AsyncReadExt,
	net::{TcpListener, TcpSocket},
	sync::Notify,
};

/// Which agent members have ready that lost their relayer.
pub const AGENT: AgentId = H256([7; 32]);

/// What a worker answers that answers well.
pub const ANSWER: [u8; 3] = [1, 2, 3];

/// The newest final block, as honest workers see it.
pub const HEIGHT: BlockNumber = 100;

/// Of a test in which all who are there say so: nothing is decided by how quick a machine is.
pub const PATIENCE: Patience = Patience {
	silence: Duration::from_millis(50),
	presence: Duration::from_secs(60),
	standstill: Duration::from_secs(60),
	failover: Duration::from_secs(60),
	code_switch: Duration::from_secs(60),
};

/// Of a test with one that does not say who it is. Who is slow to say so is asked all the same.
pub const IMPATIENT: Patience = Patience { presence: Duration::from_millis(100), ..PATIENCE };

/// What a worker does when it is called.
#[derive(Clone, Copy)]
pub enum Villain {
	/// Takes connections and says nothing, as a process that was stopped.
	Hangs,
	/// Answers only after it was asked so many times who it is.
	IsSlow(usize),
	/// The same, and the first time it does not say who it is.
	IsSlowAndDeafOnce(usize),
	/// Says who it is and that it stands at this block, as one that lost its relayer; the call waits for
	/// a commit that does not come.
	IsCutOff {
		height: BlockNumber,
		fresh: bool,
	},
	/// Answers, and says that it has not its cluster's keys.
	HasNoKeys,
	Answers,
	/// Answers with what nobody sealed.
	Garbles,
	/// `(status, name, worker that it names)`.
	Refuses(u16, &'static str, Option<WorkerId>),
	/// Refuses so many times, with this name, then answers.
	RefusesFirst(usize, u16, &'static str),
	/// Names the worker that had the lease so many times, then has it itself and answers.
	TakesOver(usize, WorkerId),
}

pub struct Worker {
	pub member: Member,
	bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Worker {
	/// What it was given, in this order.
	pub fn bodies(&self) -> Vec<Vec<u8>> {
		self.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
	}

	pub fn calls(&self) -> usize {
		self.bodies().len()
	}
}

/// One that was called.
struct Server {
	id: WorkerId,
	villain: Villain,
	infos: AtomicUsize,
	was_deaf: AtomicBool,
	asked: Notify,
	bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
	async fn info(State(server): State<Arc<Self>>) -> Response {
		let (height, fresh) = match server.villain {
			Villain::Hangs => std::future::pending().await,
			Villain::IsSlowAndDeafOnce(_) if !server.was_deaf.swap(true, Ordering::SeqCst) => {
				std::future::pending().await
			}
			Villain::IsCutOff { height, fresh } => (height, fresh),
			_ => (HEIGHT, true),
		};
		server.infos.fetch_add(1, Ordering::SeqCst);
		server.asked.notify_one();
		let keys = !matches!(server.villain, Villain::HasNoKeys);
		let said = json!({ "worker": server.id, "phase": "serving", "height": height, "fresh": fresh, "clusterKeys": keys });
		Json(said).into_response()
	}

	async fn agents(State(server): State<Arc<Self>>) -> Response {
		match server.villain {
			Villain::Hangs => std::future::pending().await,
			Villain::IsCutOff { .. } => {
				let (id, ready) = (format!("{AGENT:?}"), true);
				let of = json!({ "id": id, "ready": ready, "codeHash": "", "manifestHash": "" });
				Json(json!({ "agents": [of] })).into_response()
			}
			_ => StatusCode::NOT_FOUND.into_response(),
		}
	}

	async fn anything_else(State(server): State<Arc<Self>>) -> StatusCode {
		match server.villain {
			Villain::Hangs => std::future::pending().await,
			_ => StatusCode::NOT_FOUND,
		}
	}

	async fn call(State(server): State<Arc<Self>>, body: Bytes) -> Response {
		let before = {
			let mut bodies = server.bodies.lock().unwrap_or_else(PoisonError::into_inner);
			bodies.push(body.to_vec());
			bodies.len() - 1
		};
		let refuse = |status, error: &str, worker| {
			let said = json!({ "error": error, "message": "seal a new one", "worker": worker });
			(StatusCode::from_u16(status).unwrap(), Json(said)).into_response()
		};
		match server.villain {
			Villain::Hangs | Villain::IsCutOff { .. } => std::future::pending().await,
			Villain::IsSlow(infos) | Villain::IsSlowAndDeafOnce(infos) => {
				while server.infos.load(Ordering::SeqCst) < infos {
					server.asked.notified().await;
				}
				ANSWER.into_response()
			}
			Villain::Garbles => "no answer of this agent's".into_response(),
			Villain::Refuses(status, error, worker) => refuse(status, error, worker),
			Villain::RefusesFirst(times, status, error) if before < times => {
				refuse(status, error, None)
			}
			Villain::TakesOver(blind, holder) if before < blind => {
				refuse(409, "NotLeaseHolder", Some(holder))
			}
			Villain::Answers
			| Villain::HasNoKeys
			| Villain::RefusesFirst(..)
			| Villain::TakesOver(..) => ANSWER.into_response(),
		}
	}
}

pub async fn worker(id: WorkerId, villain: Villain) -> Worker {
	let bodies = Arc::new(Mutex::new(Vec::new()));
	let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
	let endpoint = format!("http://{}", listener.local_addr().unwrap());
	let (infos, asked) = (AtomicUsize::new(0), Notify::new());
	let was_deaf = AtomicBool::default();
	let server = Arc::new(Server { id, villain, infos, was_deaf, asked, bodies: bodies.clone() });
	let router = Router::new()
		.route("/v1/info", get(Server::info))
		.route("/v1/agents", get(Server::agents))
		.route("/v1/agents/{id}/call", post(Server::call))
		.fallback(Server::anything_else)
		.with_state(server);
	tokio::spawn(async move { axum::serve(listener, router).await });
	Worker { member: Member { worker: id, endpoint }, bodies }
}

/// A URL at which nothing listens, for as long as the test's runtime lives: its port is bound, so that
/// no test beside this one gets it.
pub fn nobody() -> String {
	let socket = TcpSocket::new_v4().unwrap();
	socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
	let url = format!("http://{}", socket.local_addr().unwrap());
	tokio::spawn(async move {
		let _kept = socket;
		std::future::pending::<()>().await
	});
	url
}

/// A process that ended.
pub fn crashed(id: WorkerId) -> Worker {
	Worker { member: Member { worker: id, endpoint: nobody() }, bodies: Arc::default() }
}

/// Takes each call, and is gone before it answers.
pub async fn vanisher(id: WorkerId) -> Worker {
	let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
	let endpoint = format!("http://{}", listener.local_addr().unwrap());
	let bodies = Arc::new(Mutex::new(Vec::new()));
	let taken = bodies.clone();
	tokio::spawn(async move {
		while let Ok((mut caller, _)) = listener.accept().await {
			let mut read = [0; 4096];
			let bytes = caller.read(&mut read).await.unwrap_or_default();
			taken.lock().unwrap_or_else(PoisonError::into_inner).push(read[..bytes].to_vec());
		}
	});
	Worker { member: Member { worker: id, endpoint }, bodies }
}
