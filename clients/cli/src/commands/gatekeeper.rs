//! `phala gatekeeper`: who makes and keeps the master key.

use super::cluster::sender;
use crate::{
	accounts::AccountOptions,
	chain::{clusters, NodeOption},
	steps::step,
};
use phala_primitives::boot::SlotId;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Offers a slot as a gatekeeper. By the slot's operator.
	Apply {
		slot: SlotId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Seats candidates. By root: on a development chain its sudo account.
	Seat {
		#[arg(required = true)]
		slots: Vec<SlotId>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	let (block, slots, text) = match command {
		Command::Apply { slot, account, node } => {
			let sender = sender(&account, &node).await?;
			let applying = sender.send(clusters::apply(slot));
			let block = step("applying", applying).await?.0.block.number;
			(block, vec![slot], format!("slot {slot} is a candidate"))
		}
		Command::Seat { slots, account, node } => {
			let sender = sender(&account, &node).await?;
			let seating = sender.send_as_root(clusters::seat(&slots));
			let block = step("seating", seating).await?.0.block.number;
			let text = format!("slots {slots:?} make the master key");
			(block, slots, text)
		}
	};
	if json {
		println!("{}", json!({ "slots": slots, "block": block }));
	} else {
		println!("{text}");
	}
	Ok(ExitCode::SUCCESS)
}
