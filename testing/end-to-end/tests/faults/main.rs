//! What goes wrong in the field: relayers lie and die, machines fail and come back, members are cut
//! off and thrown out. One network, one property after the other, each a function in one of these
//! modules.
//!
//! | module | holds |
//! |---|---|
//! | [`messages`] | a message travels, proven both ways, whatever dies on the way |
//! | [`node_client`] | a dApp's way in |
//! | [`holder`] | the lease holder dies, or hangs, at the worst moments |
//! | [`upgrade`] | the chain's runtime becomes another one |
//! | [`restarts`] | worker, node and gatekeeper come back |
//! | [`membership`] | members are cut off, and thrown out |

mod holder;
mod membership;
mod messages;
mod node_client;
mod restarts;
mod upgrade;

use anyhow::Context;
use phala_end_to_end::{
	cases,
	cluster::{agent_at, http, Network, OPERATORS},
	measurement, trials, until,
};
use phala_protocol::{boot::WorkerId, H256};
use serde_json::Value;
use std::process::ExitCode;

/// A network of three workers, so that two are a majority without the third, and an agent on it.
struct Stage {
	network: Network,
	agent: String,
	measurement: H256,
}

impl trials::Stage for Stage {
	async fn start() -> anyhow::Result<Self> {
		// Its pool takes again what it has seen, so that what an old boot signed is refused for what it
		// is.
		let mut network = Network::start(&["--tx-ban-seconds=0"]).await?;
		network.join(OPERATORS[0], &[]).await?;
		let agent = network.deploy("keeper", &["--timeout", "5"]).await?;
		let measurement = measurement(&network.devnet.supervisor).await?;
		Ok(Self { network, agent, measurement })
	}

	fn last_words(&self) -> String {
		self.network.last_words()
	}
}

impl Stage {
	/// The worker that has the agent's lease.
	async fn holder(&self) -> anyhow::Result<WorkerId> {
		let status = self.network.phala.ok(&["agent", "status", &self.agent]).await?;
		let worker = status["lease"]["worker"].as_u64();
		Ok(u32::try_from(worker.with_context(|| format!("somebody has the lease: {status:#}"))?)?)
	}

	/// Has the agent keep `text` under `path`, through the chain; the answer.
	async fn keep(&self, path: &str, text: &str) -> anyhow::Result<Value> {
		let ask = ["call", &self.agent, path, "--on-chain", "--data", text];
		let answer = self.network.phala.ok(&ask).await?;
		anyhow::ensure!(answer["verified"] == true, "it is proven: {answer:#}");
		Ok(answer)
	}

	/// What one worker's own server says that the agent keeps under `path`; nothing while it does not
	/// answer.
	async fn kept_at(&self, worker: WorkerId, path: &str) -> anyhow::Result<Value> {
		let url = &self.network.devnet.worker(worker)?.enclave.public_url;
		let answer = http(url, "GET", &format!("/agents/{}{path}", self.agent), &[]).await?;
		let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
		anyhow::ensure!(answer.status == 200, "worker {worker} refuses: {} {said}", answer.status);
		Ok(said["kept"].clone())
	}

	/// Waits until a worker has the agent ready.
	async fn ready_at(&self, worker: WorkerId) -> anyhow::Result<()> {
		let of = self.network.devnet.worker(worker)?;
		until(&format!("worker {worker} to have the agent ready"), || async {
			let found = agent_at(of, &self.agent).await?;
			Ok(found.filter(|found| found["ready"] == true).map(drop))
		})
		.await
		.with_context(|| of.enclave.process.log().last_lines())
	}
}

fn main() -> ExitCode {
	let cases = cases![
		messages::a_message_travels_both_ways_once_whatever_dies_on_the_way,
		messages::a_lying_relayer_is_refused_by_name_and_the_honest_one_carries_on,
		node_client::a_node_script_reads_the_metadata_and_transfers_pha,
		membership::a_member_that_was_cut_off_holds_nobody_up_and_catches_up,
		holder::a_holder_that_hangs_is_replaced_in_time_and_follows_when_it_goes_on,
		holder::a_holder_that_dies_with_the_answer_in_its_outbox_never_gave_it,
		holder::a_holder_that_dies_between_submission_and_finality_has_answered_once,
		// All that comes after it is on the new runtime.
		upgrade::a_vote_upgrades_the_runtime_and_nodes_relayers_enclaves_and_a_request_live_through_it,
		restarts::a_worker_that_comes_back_has_the_state_again,
		restarts::a_relayer_with_another_operators_key_pays_nothing_and_says_what_is_wrong,
		restarts::a_node_that_comes_back_goes_on_where_it_stood,
		restarts::a_gatekeeper_that_comes_back_makes_another_master_key_and_members_go_on,
		restarts::members_that_are_all_killed_at_once_come_back_with_every_committed_write,
		restarts::a_member_whose_disk_is_lost_fetches_all_from_the_others,
		membership::an_evicted_member_is_out_for_good_and_its_agents_go_on,
		restarts::members_and_gatekeeper_that_all_come_back_at_once_have_lost_the_state,
	];
	trials::run("faults", cases)
}
