//! Agents without a chain: the same machine, the same limits.

use super::{
	world::{call_input, last},
	*,
};
#[cfg(not(feature = "recording"))]
use crate::Machine;
use crate::{development::DevelopmentAgent, worker::RunDone, OpenedCall};
use phala_protocol::{agents::AgentCode, limits as protocol_limits, requests::CallOutput, H256};

const AGENT: H256 = H256([0xa9; 32]);

fn start() -> Node {
	let agent = DevelopmentAgent {
		id: AGENT,
		code: AgentCode { component: H256([1; 32]), manifest: H256([2; 32]) },
		secrets: vec![("API_KEY".into(), b"s3cret".to_vec())],
	};
	let mut rng = ChaCha20Rng::seed_from_u64(60);
	#[cfg(feature = "recording")]
	let (machine, recording) = {
		let (agents, seed) = (vec![agent], [6; 32]);
		let start = crate::recording::Start::Develop { agents, now: START, seed };
		(start.machine(), start.encode())
	};
	#[cfg(not(feature = "recording"))]
	let (machine, recording) = (Machine::develop(vec![agent], START, &mut rng), Vec::new());
	let mut node = Node::with(machine, recording, START, &mut rng);
	node.tell(Event::Tick);
	node
}

#[test]
fn an_agent_from_a_folder_is_born_with_its_secrets_and_commits_at_once() {
	let mut node = start();
	let view = node.snapshot.agent(AGENT).unwrap();
	assert_eq!(view.state.version, 1);
	assert_eq!(view.state.secrets["API_KEY"].expose(), b"s3cret");
	assert!(!node.snapshot.has_chain());

	let call = Box::new(OpenedCall::public(AGENT, call_input(b"kept")));
	let id = node.call(|reply| Event::Called { reply, call });
	let run = node.runs.pop_front().unwrap();
	let writes = vec![("last".into(), Some(b"kept".to_vec()))];
	let output = CallOutput { status: 200, ..CallOutput::default() };
	node.end_run(&run, RunDone { output, writes, units: 1, unproven_inputs: 0 });
	let Ok(Answer::Plain(answer)) = node.replies.remove(&id).unwrap() else {
		panic!("it is answered")
	};
	assert_eq!(answer.proof.content.state_version, 2);
	let state = &node.snapshot.agent(AGENT).unwrap().state;
	let entries: Vec<_> =
		state.entries.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect();
	assert_eq!(entries, last(b"kept"));
}

/// Nothing of it waits for a chain.
#[test]
fn it_commits_more_writes_than_a_chain_would_let_wait() {
	let mut node = start();
	let writes = u64::from(protocol_limits::unpaid_commits_waiting_max(1)) + 8;
	for write in 1..=writes {
		let call = Box::new(OpenedCall::public(AGENT, call_input(b"kept")));
		let id = node.call(|reply| Event::Called { reply, call });
		let run = node.runs.pop_front().expect("each write runs");
		let writes = vec![("last".into(), Some(write.to_le_bytes().to_vec()))];
		let output = CallOutput { status: 200, ..CallOutput::default() };
		node.end_run(&run, RunDone { output, writes, units: 1, unproven_inputs: 0 });
		assert!(matches!(node.replies.remove(&id), Some(Ok(Answer::Plain(_)))), "write {write}");
		assert_eq!(node.snapshot.agent(AGENT).unwrap().state.version, 1 + write);
	}
}

#[test]
fn it_is_under_the_limits_of_every_agent() {
	let mut node = start();
	let call = Box::new(OpenedCall::public(AGENT, call_input(b"")));
	let id = node.call(|reply| Event::Called { reply, call });
	let run = node.runs.pop_front().unwrap();
	let value = vec![0; limits::AGENT_STATE_BYTES_MAX as usize];
	let writes = vec![("k".into(), Some(value))];
	let output = CallOutput::default();
	node.end_run(&run, RunDone { output, writes, units: 1, unproven_inputs: 0 });
	let refused = node.replies.remove(&id).unwrap().unwrap_err();
	assert_eq!(refused.refusal(), Refusal::AgentStateBytes);
	assert_eq!(node.snapshot.agent(AGENT).unwrap().state.version, 1);
}

#[cfg(feature = "recording")]
#[test]
fn its_run_replays_too() {
	let node = start();
	assert!(crate::recording::replay(&node.recording).unwrap() > 3);
}
