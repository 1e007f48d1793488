//! `phala gatekeeper`: who makes and keeps the master key.

use super::cluster::sender;
use crate::{
	accounts::AccountOptions,
	chain::NodeOption,
	output::{self, operators::GatekeepersChanged},
	steps::chain_step,
};
use phala_chain_client::gatekeepers;
use phala_protocol::boot::WorkerId;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Offers a worker as a gatekeeper, with a second stake. By the worker's operator.
	Apply {
		/// The worker's number.
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Takes a worker's candidacy back; what is at stake for it leaves. By the worker's operator.
	Withdraw {
		/// The worker's number.
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Seats candidates. By root: on a development chain its sudo account.
	Seat {
		/// The workers' numbers.
		#[arg(required = true)]
		workers: Vec<WorkerId>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let (block, workers, text) = match command {
		Command::Apply { worker, account, node } => {
			let sender = sender(&account, &node).await?;
			let applying = sender.send(gatekeepers::apply(worker));
			let block = chain_step("applying", applying).await?.0.block.number;
			(block, vec![worker], format!("worker {worker} is a candidate"))
		}
		Command::Withdraw { worker, account, node } => {
			let sender = sender(&account, &node).await?;
			let withdrawing = sender.send(gatekeepers::withdraw(worker));
			let block = chain_step("withdrawing", withdrawing).await?.0.block.number;
			let text = format!("worker {worker} is no candidate; its stake for that leaves: `phala worker status {worker} --gatekeeper`");
			(block, vec![worker], text)
		}
		Command::Seat { workers, account, node } => {
			let sender = sender(&account, &node).await?;
			let seating = sender.send_as_root(gatekeepers::seat(&workers));
			let block = chain_step("seating", seating).await?.0.block.number;
			let text = format!("workers {workers:?} make the master key");
			(block, workers, text)
		}
	};
	output::tell(json, &GatekeepersChanged { workers, block }, text)?;
	Ok(ExitCode::SUCCESS)
}
