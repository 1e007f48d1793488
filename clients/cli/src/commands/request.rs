//! `phala request`: what became of a request, and its answer.

use super::call;
use crate::{
	accounts::Accounts,
	address::Address,
	amount::pha,
	calls::on_chain::{self, Ended},
	chain::{hash, NodeOption},
	steps::step,
};
use phala_protocol::{requests::RequestId, H256};
use serde_json::{json, Value};
use std::{path::PathBuf, process::ExitCode};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// What became of a request; opens its answer if it was made on this machine.
	Status {
		/// The request's id.
		#[arg(value_parser = hash)]
		request: H256,
		/// Waits until it has come to its end.
		#[arg(long)]
		wait: bool,
		/// Writes the answer with all that proves it, for `phala verify`.
		#[arg(long, value_name = "FILE")]
		save: Option<PathBuf>,
		#[command(flatten)]
		node: NodeOption,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let Command::Status { request, wait, save, node } = command;
	let chain = node.connect().await?;
	if !wait {
		let state = on_chain::state(&chain, request).await?;
		if on_chain::is_open(&state) {
			let (worker, deadline) = (state.worker, state.deadline);
			if json {
				println!(
					"{}",
					json!({ "request": format!("{request:?}"), "state": "open", "worker": worker, "deadline": deadline })
				);
			} else {
				println!(
					"open: worker {worker} must answer until block {deadline}; --wait waits for it"
				);
			}
			return Ok(ExitCode::SUCCESS);
		}
	}
	let accounts = Accounts::of_user()?;
	let getting = on_chain::answer(&chain, &accounts, request);
	let (ended, _) = step("getting the answer and checking it", getting).await?;
	let text = ending_text(&ended);
	call::shown(&ended.answered, ending_json(request, &ended), Some(&text), save.as_deref(), json)
}

/// Who was paid what, for programs.
pub fn ending_json(request: RequestId, ended: &Ended) -> Value {
	json!({
		"request": format!("{request:?}"),
		"state": "settled",
		"settledIn": ended.block,
		"paid": paid_json(ended),
	})
}

/// Amounts are texts: they do not fit into what JSON's numbers are for many programs.
pub fn paid_json(ended: &Ended) -> Value {
	let paid = &ended.settlement;
	json!({
		"units": paid.units,
		"fee": paid.fee.to_string(),
		"worker": { "account": paid.worker.map(|worker| Address(worker).to_string()), "amount": paid.worker_paid.to_string() },
		"developer": { "account": Address(paid.developer).to_string(), "amount": paid.developer_paid.to_string() },
		"treasury": { "amount": paid.treasury_paid.to_string() },
		"refunded": paid.refunded.to_string(),
	})
}

/// Who was paid what, for people.
pub fn ending_text(ended: &Ended) -> String {
	let paid = &ended.settlement;
	let worker = paid.worker.map_or_else(|| "-".into(), |worker| Address(worker).to_string());
	format!(
		"  paid in block {}: {} for {} units\n    worker     {:<22} {worker}\n    developer  {:<22} {}\n    treasury   {}\n    refunded   {}\n",
		ended.block,
		pha(paid.fee),
		paid.units,
		pha(paid.worker_paid),
		pha(paid.developer_paid),
		Address(paid.developer),
		pha(paid.treasury_paid),
		pha(paid.refunded),
	)
}
