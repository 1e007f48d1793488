//! Who waits for an answer of the machine.

use super::sandbox::{Outside, Sandbox};
use crate::sync::lock;
use phala_machine::{worker::Run, Answer, CallId, MachineError};
use phala_protocol::H256;
use phala_sandbox::{AgentCall, AgentReply, HostError, RefusalKind};
use std::{
	collections::HashMap,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex,
	},
};
use tokio::sync::oneshot;

type Sender = oneshot::Sender<Result<Answer, MachineError>>;
type Receiver = oneshot::Receiver<Result<Answer, MachineError>>;

/// Callers from outside.
#[derive(Default)]
pub struct Callers {
	next: AtomicU64,
	waiting: Mutex<HashMap<CallId, Sender>>,
}

impl Callers {
	/// A number that nobody had.
	pub fn next_id(&self) -> CallId {
		CallId(self.next.fetch_add(1, Ordering::Relaxed))
	}

	/// A new caller.
	pub fn wait(&self) -> (CallId, Receiver) {
		let (sender, receiver) = oneshot::channel();
		let id = self.next_id();
		lock(&self.waiting).insert(id, sender);
		(id, receiver)
	}

	/// Answers one, if it still waits. One that went away does not need its answer.
	pub fn answer(&self, to: CallId, answer: Result<Answer, MachineError>) {
		let sender = lock(&self.waiting).remove(&to);
		if let Some(sender) = sender {
			let _ = sender.send(answer);
		}
	}

	/// The machine knows of none of them any more.
	pub fn forget_all(&self) {
		lock(&self.waiting).clear();
	}
}

/// A call of an agent by another agent's run on this machine, until it is run or refused.
pub struct PendingCall {
	call: AgentCall,
	/// Whose log it is in.
	log_as: H256,
	reply: oneshot::Sender<AgentReply>,
}

impl PendingCall {
	/// Runs it for as long as its caller waits.
	pub async fn run(self, sandbox: &dyn Sandbox, run: Run, outside: Arc<dyn Outside>) {
		let Self { call, log_as, mut reply } = self;
		let ended = tokio::select! {
			ended = sandbox.run(run, Some(call), Some(log_as), outside) => ended,
			() = reply.closed() => return,
		};
		let _ = reply.send(AgentReply::of_run(ended));
	}

	pub fn refuse(self, refused: MachineError) {
		let kind = match refused {
			MachineError::NoSuchAgent => RefusalKind::NotFound,
			MachineError::CallerNotAllowed => RefusalKind::Denied,
			_ => RefusalKind::Unavailable,
		};
		let refusal = HostError::new(kind, format!("the called agent: {refused}"));
		let _ = self.reply.send(AgentReply::refused(refusal));
	}
}

#[derive(Default)]
pub struct AgentCalls(Mutex<HashMap<CallId, PendingCall>>);

impl AgentCalls {
	pub fn wait(
		&self,
		id: CallId,
		call: AgentCall,
		log_as: H256,
		reply: oneshot::Sender<AgentReply>,
	) {
		lock(&self.0).insert(id, PendingCall { call, log_as, reply });
	}

	pub fn has(&self, id: CallId) -> bool {
		lock(&self.0).contains_key(&id)
	}

	pub fn take(&self, id: CallId) -> Option<PendingCall> {
		lock(&self.0).remove(&id)
	}

	/// The machine knows of none of them any more.
	pub fn forget_all(&self) {
		lock(&self.0).clear();
	}
}
