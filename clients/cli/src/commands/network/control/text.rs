//! What the commands say of a network.

use super::{super::parts::GATEKEEPER, stop::AT_STAKE, CHAIN};
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

pub(super) fn status(
	NetworkStatus { chain, chain_error, finalized, workers, .. }: &NetworkStatus,
) -> String {
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
			(Phase::WithoutRelayer, _) => {
				let at = told.height.zip(*finalized);
				let at = at.map_or_else(String::new, |(at, newest)| {
					format!(": it stands at block {at}, {newest} is final")
				});
				format!(" (its enclave runs and hears of no block{at}; `phala network stop {name}`, if its relayer hangs, and `phala network start {name}` start both anew)")
			}
			(Phase::Serving, Some(false)) => {
				" (its view of the chain is old: does its relayer hang?)".to_owned()
			}
			_ => String::new(),
		};
		text += &format!("\n{name:<13} worker {worker}{boot}, {}{why}{ready}, {url}", phase.name());
	}
	if let Some(waited_for) = keys_waited_for(workers) {
		text += &format!("\n{:<13} {waited_for}", "keys");
	}
	text
}

/// Whether a worker has no keys, and agents that need them: one in no cluster, as a gatekeeper, has neither.
pub(super) fn lacks_keys(worker: &NetworkWorker) -> bool {
	worker.cluster_keys == Some(false) && worker.agents > Some(0)
}

/// Whom those wait for that have no keys of their cluster.
fn keys_waited_for(workers: &[NetworkWorker]) -> Option<String> {
	let without: Vec<_> = workers
		.iter()
		.filter(|worker| worker.phase == Phase::Serving && lacks_keys(worker))
		.map(|worker| worker.name.as_str())
		.collect();
	let gatekeeper = workers.iter().find(|worker| worker.name == GATEKEEPER)?;
	let is_away =
		matches!(gatekeeper.phase, Phase::Stopped | Phase::Silent | Phase::WithoutRelayer);
	(is_away && !without.is_empty()).then(|| {
		let phase = gatekeeper.phase.name();
		format!(
			"{}: the keys of their cluster come from the {GATEKEEPER}, which is {phase}: `phala network start {GATEKEEPER}`",
			without.join(", ")
		)
	})
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
		let cut_off =
			NetworkWorker { phase: Phase::WithoutRelayer, height: Some(753), ..worker(1, vec![]) };
		let chat = |lacks| NotReady { name: Some("chat".into()), ..lacking(1, lacks) };
		let hangs = NetworkWorker { fresh: Some(false), ..worker(2, vec![chat(None)]) };
		let forged = Some("its code\nworker-9 is well");
		let lags = worker(3, vec![chat(forged), lacking(2, Some("keys")), lacking(3, forged)]);
		let workers = vec![cut_off, hangs, lags];
		let told = NetworkStatus {
			chain: "ws://x".into(),
			chain_error: Some("does it hang?\nno".into()),
			finalized: Some(759),
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
			"hears of no block: it stands at block 753, 759 is final",
			"does its relayer hang?",
			"2 of 3 agents ready (not chat)",
			&lags,
		] {
			assert!(text.contains(part), "{part}: {text}");
		}
	}

	#[test]
	fn who_has_no_keys_is_said_to_wait_for_the_gatekeeper_only_if_that_is_away() {
		let gatekeeper =
			|phase| NetworkWorker { name: GATEKEEPER.into(), phase, ..worker(0, vec![]) };
		let member = |keys| NetworkWorker { cluster_keys: Some(keys), ..worker(2, vec![]) };
		let told = |phase, keys| keys_waited_for(&[gatekeeper(phase), member(keys)]);
		let waits = told(Phase::Stopped, false).unwrap();
		for part in ["worker-2: the keys", "which is stopped", "phala network start gatekeeper"] {
			assert!(waits.contains(part), "{part}: {waits}");
		}
		assert_eq!(told(Phase::Stopped, true), None);
		assert_eq!(told(Phase::Serving, false), None);
	}
}
