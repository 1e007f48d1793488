//! What the commands say of a network.

use super::{stop::AT_STAKE, CHAIN};
use crate::{
	output::operators::{
		readiness, NetworkStatus, NetworkWorker, Phase, WorkerStarted, WorkerStopped,
	},
	terminal,
};

pub(super) fn stopped(told: &WorkerStopped, lost_keys: bool) -> String {
	let WorkerStopped { stopped: name, not_taken_over, .. } = told;
	if lost_keys {
		return format!(
			"{name} is stopped; `phala network start {name}` brings it back as its next boot, without the keys"
		);
	}
	let warning = match &not_taken_over[..] {
		[] => String::new(),
		agents => format!(
			"\nwarning: no other member is ready to answer for: {}; {AT_STAKE}",
			agents.join(", ")
		),
	};
	format!(
		"{name} is stopped; `phala network start {name}` brings it back as its next boot{warning}"
	)
}

pub(super) fn started(WorkerStarted { started: name, .. }: &WorkerStarted) -> String {
	format!(
		"{name} starts; `phala network status` says when it serves: it registers, fetches its keys and catches up"
	)
}

pub(super) fn status(NetworkStatus { chain, chain_error, workers, .. }: &NetworkStatus) -> String {
	let error = chain_error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
	let mut text = format!("{CHAIN:<13} {chain}{}", terminal::line(&error));
	for told in workers {
		let NetworkWorker { name, worker, boot, phase, fresh, agents, agents_ready, url, .. } =
			told;
		let ready = readiness(*agents, *agents_ready, &told.agents_not_ready);
		let ready = terminal::line(&ready);
		let boot = boot.map_or_else(String::new, |boot| format!(", boot {boot}"));
		let why = match (phase, fresh) {
			(Phase::Silent, _) => " (it runs, and does not answer)".to_owned(),
			(Phase::WithoutRelayer, _) => format!(
				" (its enclave runs and hears of no block; `phala network start {name}` starts both anew)"
			),
			(Phase::Serving, Some(false)) => {
				" (its view of the chain is old: does its relayer hang?)".to_owned()
			}
			_ => String::new(),
		};
		text += &format!("\n{name:<13} worker {worker}{boot}, {}{why}{ready}, {url}", phase.name());
	}
	text
}

#[cfg(test)]
mod tests {
	use super::super::tests::{lacking, worker};
	use super::*;
	use crate::output::operators::NotReady;
	use phala_protocol::H256;
	use std::collections::BTreeMap;

	#[test]
	fn status_says_why_a_worker_does_not_follow_and_which_agents_are_not_ready_and_why() {
		let cut_off = NetworkWorker { phase: Phase::WithoutRelayer, ..worker(1, vec![]) };
		let chat = |lacks| NotReady { name: Some("chat".into()), ..lacking(1, lacks) };
		let hangs = NetworkWorker { fresh: Some(false), ..worker(2, vec![chat(None)]) };
		let forged = Some("its code\nworker-9 is well");
		let lags = worker(3, vec![chat(forged), lacking(2, Some("keys")), lacking(3, forged)]);
		let workers = vec![cut_off, hangs, lags];
		let told = NetworkStatus {
			chain: "ws://x".into(),
			chain_error: Some("does it hang?\nno".into()),
			workers,
			agents: BTreeMap::new(),
		};
		let text = status(&told);
		assert!(text.starts_with("chain         ws://x (does it hang?\\nno)\n"), "{text}");
		let forged = "its code\\nworker-9 is well";
		let (second, third) = (H256([2; 32]), H256([3; 32]));
		let lags = format!("0 of 3 agents ready (not chat, {third:?}: {forged}; {second:?}: keys)");
		for part in [
			"without-relayer",
			"network start worker-1",
			"does its relayer hang?",
			"2 of 3 agents ready (not chat)",
			&lags,
		] {
			assert!(text.contains(part), "{part}: {text}");
		}
	}
}
