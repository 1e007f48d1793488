//! The outcome for people: what was asked, answered, proven and paid, and what to do next.

use super::{
	chat, prices,
	summary::{CallSummary, Summary},
};
use crate::{
	commands::readable,
	limits,
	output::calls::{Share, Verdict},
	terminal::line,
};
use phala_protocol::text::{pha, Address};

/// What was shown, for people.
pub fn shown(summary: &Summary) -> String {
	let mut text = String::from("\n");
	for enclave in summary.gatekeeper.iter().chain(&summary.workers) {
		let (worker, boot) = (enclave.worker, number_or_dash(enclave.boot));
		text += &format!("{:<13} worker {worker}, boot {boot}\n", enclave.name);
	}
	for agent in &summary.agents {
		let (id, code) = (agent.id.0, agent.code.0);
		text += &format!("{:<13} {id:?}\n              code {code:?}\n", agent.name);
	}
	text += &shown_call("\nprice-oracle, asked directly", &summary.direct);
	text += &shown_call("\nprice-oracle, asked through the chain", &summary.on_chain);
	text += &shown_call("\nchat, asked directly", &summary.chat);
	if summary.prices_are_stand_ins == Some(true) {
		text += &format!(
			"\nThese are no market prices: three servers on this machine stand in for sources, one of\nthem wrong on purpose. Others: {}=url,url,url\n",
			prices::VARIABLE
		);
	}
	if summary.chat_is_stand_in == Some(true) {
		text += &format!(
			"No language model answered, but a server on this machine. A real one: {}=url {}=key\n",
			chat::URL_VARIABLE,
			chat::KEY_VARIABLE
		);
	}
	text
}

fn shown_call(name: &str, call: &CallSummary) -> String {
	let mut text = format!("{name}, answered after {} s:\n", call.seconds.unwrap_or_default());
	text += &format!("  {}\n", readable(&call.answer));
	for check in &call.checks {
		let mark = match check.verdict {
			Verdict::Ok => "✓",
			Verdict::Absent => "-",
			Verdict::Refused => "✗",
		};
		text += &format!("  {mark} {:<11} {}\n", line(&check.name), line(&check.detail));
	}
	if let Some(paid) = &call.paid {
		text += &format!(
			"  paid {} for {} units, and {} as base fee, {} blocks after the question:\n",
			pha(paid.fee.0),
			paid.units,
			call.base_fee.map_or_else(|| "-".into(), |fee| pha(fee.0)),
			number_or_dash(call.blocks)
		);
		let shares = [("worker", &paid.worker), ("developer", &paid.developer)];
		for (who, share) in shares {
			let Some(Share { account, amount }) = share else { continue };
			let account =
				account.map_or_else(String::new, |account| Address(account.0).to_string());
			text += &format!("    {who:<10} {:<22} {account}\n", pha(amount.0));
		}
		if let Some(treasury) = &paid.treasury {
			text += &format!("    treasury   {}\n", pha(treasury.amount.0));
		}
		text += &format!("    refunded   {}\n", pha(paid.refunded.0));
	}
	text
}

fn number_or_dash(number: Option<u32>) -> String {
	number.map_or_else(|| "-".into(), |number| number.to_string())
}

/// Where this binary is, or the one that has replaced it since: Linux adds a word to its path then.
fn own_path(told: &str) -> String {
	told.strip_suffix(" (deleted)").unwrap_or(told).to_owned()
}

/// What to do with a network that is up.
pub fn next_steps(summary: &Summary) -> String {
	let mut text = String::from("\nUse it (Ctrl-C stops everything):\n");
	if let Some(chain) = &summary.chain {
		text += &format!("  chain       {}\n", chain.url);
	}
	for enclave in summary.gatekeeper.iter().chain(&summary.workers) {
		text +=
			&format!("  {:<11} {}   relayer: {}\n", enclave.name, enclave.public, enclave.relayer);
	}
	let phala = std::env::current_exe()
		.map_or_else(|_| "phala".into(), |own| own_path(&own.to_string_lossy()));
	if let (Some(chain), Some(oracle)) = (&summary.chain, summary.agents.first()) {
		let id = &oracle.name;
		// What all commands ask if they are told nothing.
		let default = format!("ws://127.0.0.1:{}", limits::PORT_BASE_DEFAULT);
		let node = match &chain.url {
			url if *url == default => String::new(),
			url => format!("PHALA_NODE={url} "),
		};
		text += &format!("\n  alias phala={phala}\n  export {node}PHALA_SURI=//Bob\n");
		text += &format!("  phala call {id} /last --save answer.json\n");
		text += &format!("  phala verify answer.json --genesis {:?}\n", chain.genesis.0);
		text += &format!("  phala call {id} / --on-chain -d '{{}}'\n");
		if let Some(chat) = summary.agents.get(1) {
			text += &format!("  phala call {} / -d '{{\"message\":\"Hello\"}}'\n", chat.name);
		}
		text += &format!("  phala logs {id} --suri //Alice\n");
		text += &format!(
			"  phala new my-agent && phala deploy my-agent --cluster {}\n",
			summary.cluster.unwrap_or_default()
		);
		text += "  phala network stop worker-1 && phala network status && phala network start worker-1\n";
		text += &format!(
			"  (cd testing/end-to-end/node-client && npm ci && node transfer.mjs {})\n",
			chain.url
		);
	}
	text
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_binary_that_was_replaced_is_named_where_it_is() {
		assert_eq!(own_path("/a b/phala (deleted)"), "/a b/phala");
		assert_eq!(own_path("/a b/phala"), "/a b/phala");
	}
}
