//! Private agents and paid requests, on real parts: one network, one property after the other, each a
//! function in one of these modules.
//!
//! | module | holds |
//! |---|---|
//! | [`answers`] | what is asked is answered and paid |
//! | [`copies`] | what was sealed is worth nothing to others |
//! | [`cut`] | commands that are killed half way go on |
//! | [`limits`] | a paid request ends by each limit |
//! | [`refusals`] | what the command line refuses |
//! | [`told`] | what commands tell programs, and whom they mean by a name |
//! | [`upgrades`] | code changes and nobody is refused |
//! | [`workers`] | workers die and join |
//! | [`privacy`] | nothing of it can be read anywhere |
//! | [`offline`] | proofs hold without the chain, and only untouched |

mod answers;
mod copies;
mod cut;
mod limits;
mod offline;
mod privacy;
mod refusals;
mod stakes;
mod told;
mod upgrades;
mod workers;

use anyhow::{ensure, Context};
use phala_end_to_end::{cases, cluster::Network, search::Mark};
use phala_protocol::H256;
use serde_json::Value;
use std::process::ExitCode;

/// A network, an agent on it, and what must not be read anywhere.
struct Stage {
	network: Network,
	agent: String,
	/// Of the letters of the agent's secret: shows that the agent knows it.
	sum: u32,
	/// To be found nowhere.
	hidden: Vec<Mark>,
	/// For everybody to read, on the chain and on its ways.
	public: Vec<Mark>,
	/// Whose stake leaves.
	closed_worker: Option<String>,
	/// A request that was refunded before its deadline, and since when to look for what became of it.
	withheld: Option<(H256, u64)>,
}

impl Stage {
	/// Fails unless an answer of the agent to `input` is right and proven.
	fn check(&self, answer: &Value, input: &Mark) -> anyhow::Result<()> {
		let body = &answer["answer"]["body"];
		ensure!(answer["verified"] == true, "it is proven: {answer:#}");
		ensure!(body["backwards"] == backwards(&input.text), "it answers: {answer:#}");
		ensure!(body["sum"] == self.sum, "it knows the secret: {answer:#}");
		Ok(())
	}

	/// An input, what the agent answers and what it keeps: none of them may be read anywhere.
	fn hide(&mut self, input: &Mark) {
		self.hidden.push(input.clone());
		self.hidden.push(input.made(&format!("the answer to {}", input.name), backwards));
		self.hidden.push(kept(input));
	}

	/// The worker that has the agent's lease.
	async fn writer(&self) -> anyhow::Result<u32> {
		let status = self.network.phala.ok(&["agent", "status", &self.agent]).await?;
		let worker = status["lease"]["worker"].as_u64();
		Ok(u32::try_from(worker.with_context(|| format!("somebody has the lease: {status:#}"))?)?)
	}
}

/// What the agent keeps of an input.
fn kept(input: &Mark) -> Mark {
	input.made(&format!("what is kept of {}", input.name), str::to_ascii_uppercase)
}

fn backwards(text: &str) -> String {
	text.chars().rev().collect()
}

impl phala_end_to_end::trials::Stage for Stage {
	async fn start() -> anyhow::Result<Self> {
		let network = Network::start(&[]).await?;
		let agent = network.deploy("keeper", &["--timeout", "5"]).await?;
		// Two keys each of a gatekeeper and two workers.
		let hidden = privacy::boot_keys(&network).await?;
		ensure!(hidden.len() == 6, "{} secret keys were found", hidden.len());
		Ok(Self {
			network,
			agent,
			sum: 0,
			hidden,
			public: Vec::new(),
			closed_worker: None,
			withheld: None,
		})
	}

	fn last_words(&self) -> String {
		self.network.last_words()
	}
}

fn main() -> ExitCode {
	let cases = cases![
		answers::a_secret_is_sealed_to_its_agent,
		stakes::stake_is_added_leaves_and_goes_along_with_its_worker,
		answers::a_request_is_answered_both_ways_and_those_who_worked_are_paid,
		answers::a_public_request_of_a_node_script_is_answered_on_chain,
		copies::a_copied_sealed_input_is_worth_nothing_to_another_caller,
		copies::a_repeated_direct_call_is_refused_by_every_worker,
		cut::a_paid_request_whose_command_was_killed_is_answered_to_the_one_that_goes_on,
		cut::a_second_deployment_of_a_folder_is_the_same_agent_wherever_the_first_was_cut,
		cut::two_deployments_of_a_folder_at_once_are_one_agent,
		upgrades::what_an_agent_throws_is_found_at_its_line_in_its_owners_log,
		upgrades::nobody_is_refused_at_an_upgrade_without_notice,
		upgrades::nobody_is_refused_at_an_upgrade_with_notice_and_what_is_to_come_is_shown,
		upgrades::an_upgrade_while_another_writer_is_waited_for_fails_nothing_that_is_paid,
		limits::a_paid_request_ends_by_each_limit_and_other_agents_answer_meanwhile,
		refusals::bad_input_gets_clear_errors_at_the_cli_and_nothing_is_submitted,
		told::accounts_are_meant_by_their_names_and_their_addresses_look_alike_everywhere,
		told::who_cannot_pay_is_told_what_there_is_and_what_is_needed,
		told::the_other_commands_tell_what_their_schemas_say,
		stakes::stake_that_has_left_is_free_once,
		workers::a_withheld_request_is_refunded_once_and_the_other_worker_answers_the_next,
		workers::a_worker_that_joins_later_ends_with_the_same_state,
		workers::a_refunded_request_comes_to_nothing_at_its_deadline,
		privacy::the_plaintext_is_nowhere_and_a_public_one_is_everywhere,
		offline::an_answer_verifies_with_the_node_stopped_and_not_with_a_byte_changed,
		told::no_command_was_left_out,
	];
	phala_end_to_end::trials::run("agents", cases)
}
