//! `phala worker`: a worker's place in the network, and what is at stake for it.
//!
//! * `register`: a place for a worker; the account that is chosen, its operator's, holds its stake.
//! * `stake`, `unstake`, `withdraw`, `status`: more of it, less of it, what has left, how it stands.
//! * `transfer`, `close`: another operator; none.
//! * `allow-measurement`: on a development chain, by its sudo account, lets a build of pruntime in.

use crate::{
	accounts::AccountOptions,
	chain::{self, NodeOption},
	steps::chain_step,
};
use anyhow::{bail, Context};
use phala_chain_client::{bonding, registry, transactions, Chain, Sender};
use phala_protocol::{
	bonding::{Bond, BondId},
	boot::WorkerId,
	text::{parse_pha, pha, Address},
	Balance, BlockNumber, H256,
};
use serde_json::{json, Value};
use std::{path::Path, path::PathBuf, process::ExitCode};

/// The operator's secret, as `pherry` reads it.
const OPERATOR_VARIABLE: &str = "PHERRY_OPERATOR";

#[derive(Debug, clap::Subcommand)]
pub enum Command {
	/// Creates a worker and prints its number.
	Register {
		/// The operator's secret, as with --suri. The variable PHERRY_OPERATOR counts before PHALA_ACCOUNT
		/// and PHALA_SURI.
		#[arg(long, value_name = "SECRET", conflicts_with_all = ["account", "suri"])]
		operator: Option<String>,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Puts more at stake for a worker. By its operator.
	Stake {
		#[command(flatten)]
		of: BondOptions,
		/// How much more, in PHA.
		#[arg(value_parser = parse_pha)]
		amount: Balance,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Lets a part of the stake leave: it can be slashed until it can be withdrawn. By its operator.
	Unstake {
		#[command(flatten)]
		of: BondOptions,
		/// How much, in PHA.
		#[arg(value_parser = parse_pha)]
		amount: Balance,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Frees what has left the stake. By anyone; it goes to the operator.
	Withdraw {
		#[command(flatten)]
		of: BondOptions,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Shows what is at stake for a worker, and what leaves.
	Status {
		#[command(flatten)]
		of: BondOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Offers a worker, with its stake, to another account; that account runs it with --accept.
	Transfer {
		worker: WorkerId,
		/// To whom.
		#[arg(required_unless_present_any = ["accept", "cancel"])]
		to: Option<Address>,
		/// Takes over a worker that was offered to this account.
		#[arg(long, conflicts_with_all = ["to", "cancel"])]
		accept: bool,
		/// Takes the offer back.
		#[arg(long, conflicts_with = "to")]
		cancel: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Gives up a worker that serves nowhere; its stake leaves. By its operator.
	Close {
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// On a development chain: lets a build of pruntime register.
	AllowMeasurement {
		#[command(flatten)]
		node: NodeOption,
		/// The secret of the chain's sudo account.
		#[arg(long, default_value = "//Alice")]
		sudo: String,
		/// The measurement: 32 bytes in hexadecimal.
		#[arg(long, value_parser = chain::hash, required_unless_present = "pruntime")]
		measurement: Option<H256>,
		/// The pruntime to measure.
		#[arg(long, conflicts_with = "measurement")]
		pruntime: Option<PathBuf>,
	},
}

/// Which of a worker's two stakes is meant.
#[derive(Debug, clap::Args)]
pub struct BondOptions {
	worker: WorkerId,
	/// The stake for its candidacy or seat as a gatekeeper, in place of that for its work.
	#[arg(long)]
	gatekeeper: bool,
}

impl BondOptions {
	fn bond(&self) -> BondId {
		match self.gatekeeper {
			true => BondId::Gatekeeper(self.worker),
			false => BondId::Worker(self.worker),
		}
	}

	fn role(&self) -> String {
		match self.gatekeeper {
			true => format!("gatekeeper {}", self.worker),
			false => format!("worker {}", self.worker),
		}
	}

	/// How the commands after it name it.
	fn arguments(&self) -> String {
		let flag = if self.gatekeeper { " --gatekeeper" } else { "" };
		format!("{}{flag}", self.worker)
	}
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::Stake { of, amount, account, node } => {
			let (chain, sender) = sender(&account, &node).await?;
			let sending = sender.send(bonding::top_up(of.bond(), amount));
			let block = chain_step(&format!("staking {}", pha(amount)), sending).await?.0.block;
			let bond = bonding::bond(&chain, block, of.bond()).await?;
			let active = bond.as_ref().map_or(0, |bond| bond.active);
			say(
				json,
				json!({ "worker": of.worker, "amount": amount.to_string(), "active": active.to_string(), "block": block.number }),
				&format!("{} has {} at stake", of.role(), pha(active)),
			);
		}
		Command::Unstake { of, amount, account, node } => {
			let (chain, sender) = sender(&account, &node).await?;
			let minimum = bonding::minimum(&chain, of.bond()).await?;
			let sending = sender.send(bonding::unbond(of.bond(), amount));
			let included = chain_step(&format!("letting {} leave", pha(amount)), sending).await?.0;
			let until = bonding::unbonding_began(&included)?.until;
			let bond = bonding::bond(&chain, included.block, of.bond()).await?;
			let active = bond.as_ref().map_or(0, |bond| bond.active);
			say(
				json,
				json!({ "worker": of.worker, "amount": amount.to_string(), "active": active.to_string(), "until": until, "block": included.block.number }),
				&format!(
					"{} leave the stake of {} and can be slashed until block {until}; then: phala worker withdraw {}",
					pha(amount),
					of.role(),
					of.arguments(),
				),
			);
			if active < minimum {
				eprintln!(
					"  {} are left, less than the minimum of {}: {} is out of force",
					pha(active),
					pha(minimum),
					of.role()
				);
			}
		}
		Command::Withdraw { of, account, node } => {
			let (_, sender) = sender(&account, &node).await?;
			let sending = sender.send(bonding::withdraw(of.bond()));
			let included = chain_step("withdrawing", sending).await?.0;
			let amount = bonding::withdrawn(&included)?;
			say(
				json,
				json!({ "worker": of.worker, "amount": amount.to_string(), "block": included.block.number }),
				&format!("{} of {} are free again", pha(amount), of.role()),
			);
		}
		Command::Status { of, node } => {
			let chain = node.connect().await?;
			let status = StakeStatus::of(&chain, &of).await?;
			say(json, status.json(&of), status.text(&of).trim_end());
		}
		Command::Transfer { worker, to, accept, cancel: _, account, node } => {
			let (_, sender) = sender(&account, &node).await?;
			let (doing, call, text) = match to {
				_ if accept => (
					"taking the worker over",
					registry::accept_worker(worker),
					format!("worker {worker} and its stake are yours; start pruntime and pherry for it"),
				),
				Some(to) => (
					"offering the worker",
					registry::offer_worker(worker, Some(to.0)),
					format!("worker {worker} is offered to {to}, who takes it over with `phala worker transfer {worker} --accept`"),
				),
				None => (
					"taking the offer back",
					registry::offer_worker(worker, None),
					format!("worker {worker} is offered to nobody"),
				),
			};
			let block = chain_step(doing, sender.send(call)).await?.0.block.number;
			say(json, json!({ "worker": worker, "block": block }), &text);
		}
		Command::Close { worker, account, node } => {
			let (chain, sender) = sender(&account, &node).await?;
			let sending = sender.send(registry::close_worker(worker));
			let block = chain_step("closing the worker", sending).await?.0.block;
			let bond = bonding::bond(&chain, block, BondId::Worker(worker)).await?;
			let until = bond.and_then(|bond| Some(bond.unbonding.last()?.until));
			let text = match until {
				Some(until) => format!("worker {worker} is closed; its stake leaves until block {until}, then: phala worker withdraw {worker}"),
				None => format!("worker {worker} is closed"),
			};
			say(json, json!({ "worker": worker, "until": until, "block": block.number }), &text);
		}
		Command::Register { operator, account, node } => {
			let operator = match operator {
				Some(secret) => AccountOptions { account: None, suri: Some(secret) }.open()?,
				None => account.open_or(Some(OPERATOR_VARIABLE))?,
			};
			let account = operator.address().to_string();
			let sender = Sender::new(&node.connect().await?, operator.keypair);
			let worker = registry::register_worker(&sender).await?;
			if json {
				println!("{}", json!({ "worker": worker, "operator": account }));
			} else {
				println!("worker {worker} of operator {account}");
			}
		}
		Command::AllowMeasurement { node, sudo, measurement, pruntime } => {
			let measurement = match (measurement, pruntime) {
				(Some(measurement), _) => measurement,
				(None, Some(pruntime)) => measure(&pruntime).await?,
				(None, None) => bail!("give --measurement or --pruntime"),
			};
			let sudo = transactions::account(&sudo)?;
			let sudo = Sender::new(&node.connect().await?, sudo);
			let block = registry::allow_measurement(&sudo, measurement).await?;
			if json {
				println!(
					"{}",
					json!({ "measurement": format!("{measurement:?}"), "block": block })
				);
			} else {
				println!("{measurement:?} is allowed from block {block} on");
			}
		}
	}
	Ok(ExitCode::SUCCESS)
}

async fn sender(account: &AccountOptions, node: &NodeOption) -> anyhow::Result<(Chain, Sender)> {
	let operator = account.open_or(Some(OPERATOR_VARIABLE))?;
	let chain = node.connect().await?;
	Ok((chain.clone(), Sender::new(&chain, operator.keypair)))
}

fn say(json: bool, value: Value, text: &str) {
	match json {
		true => println!("{value}"),
		false => println!("{text}"),
	}
}

/// What is at stake, at the best block: what was just staked is in it.
struct StakeStatus {
	block: BlockNumber,
	bond: Bond,
	minimum: Balance,
}

impl StakeStatus {
	async fn of(chain: &Chain, of: &BondOptions) -> anyhow::Result<Self> {
		let (at, _) = chain.header(None).await?;
		let bond = bonding::bond(chain, at, of.bond()).await?;
		let bond = bond.with_context(|| {
			let made = match of.gatekeeper {
				true => "phala gatekeeper apply",
				false => "phala worker register",
			};
			format!(
				"nothing is at stake for {} at block {}: `{made}` puts a stake up",
				of.role(),
				at.number
			)
		})?;
		let minimum = bonding::minimum(chain, of.bond()).await?;
		Ok(Self { block: at.number, bond, minimum })
	}

	fn suffices(&self) -> bool {
		!self.bond.closed && self.bond.active >= self.minimum
	}

	/// Amounts are texts: they do not fit into what JSON's numbers are for many programs.
	fn json(&self, of: &BondOptions) -> Value {
		let Bond { account, active, unbonding, closed } = &self.bond;
		let unbonding: Vec<_> = unbonding
			.iter()
			.map(|chunk| json!({ "amount": chunk.amount.to_string(), "until": chunk.until }))
			.collect();
		json!({
			"worker": of.worker,
			"gatekeeper": of.gatekeeper,
			"operator": Address(*account).to_string(),
			"active": active.to_string(),
			"minimum": self.minimum.to_string(),
			"suffices": self.suffices(),
			"unbonding": unbonding,
			"closed": closed,
			"block": self.block,
		})
	}

	fn text(&self, of: &BondOptions) -> String {
		let Bond { account, active, unbonding, closed } = &self.bond;
		let state = match (*closed, self.suffices()) {
			(true, _) => "closed: all of it leaves".to_owned(),
			(false, true) => format!("the minimum is {}", pha(self.minimum)),
			(false, false) => format!(
				"less than the minimum of {}: out of force; phala worker stake {} <PHA>",
				pha(self.minimum),
				of.arguments()
			),
		};
		let mut text = format!(
			"{} of {}\n  at stake   {} ({state})\n",
			of.role(),
			Address(*account),
			pha(*active)
		);
		for chunk in unbonding {
			let when = match chunk.until <= self.block {
				true => format!("can be withdrawn: phala worker withdraw {}", of.arguments()),
				false => format!(
					"can be withdrawn from block {} on, {} from now",
					chunk.until,
					chunk.until - self.block
				),
			};
			text.push_str(&format!("  leaving    {} ({when})\n", pha(chunk.amount)));
		}
		text
	}
}

/// What a pruntime measures of itself.
///
/// # Errors
/// When it does not run, or has no software evidence.
pub async fn measure(pruntime: &Path) -> anyhow::Result<H256> {
	let shown = pruntime.display();
	let output = tokio::process::Command::new(pruntime)
		.arg("--print-measurement")
		.stdin(std::process::Stdio::null())
		.kill_on_drop(true)
		.output()
		.await
		.with_context(|| format!("cannot run {shown}"))?;
	if !output.status.success() {
		let said = String::from_utf8_lossy(&output.stderr);
		bail!(
			"{shown} gave no measurement ({}): {}; a development build has --print-measurement",
			output.status,
			said.trim()
		);
	}
	chain::hash(String::from_utf8_lossy(&output.stdout).trim())
		.map_err(anyhow::Error::msg)
		.with_context(|| format!("{shown} printed no measurement"))
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::{bonding::UnbondingChunk, text::PHA};

	fn worker(gatekeeper: bool) -> BondOptions {
		BondOptions { worker: 3, gatekeeper }
	}

	fn status(active: Balance, closed: bool) -> StakeStatus {
		let unbonding = vec![
			UnbondingChunk { amount: PHA / 2, until: 50 },
			UnbondingChunk { amount: 5 * PHA, until: 51 },
		];
		let bond = Bond { account: [1; 32], active, unbonding, closed };
		StakeStatus { block: 50, bond, minimum: 900 * PHA }
	}

	#[test]
	fn a_stake_is_shown_with_its_minimum_and_what_to_do_next() {
		let text = status(900 * PHA, false).text(&worker(false));
		for part in [
			"worker 3 of ",
			"at stake   900 PHA (the minimum is 900 PHA)",
			"leaving    0.5 PHA (can be withdrawn: phala worker withdraw 3)",
			"leaving    5 PHA (can be withdrawn from block 51 on, 1 from now)",
		] {
			assert!(text.contains(part), "{text}");
		}
		let text = status(900 * PHA - 1, false).text(&worker(true));
		assert!(text.contains("out of force; phala worker stake 3 --gatekeeper <PHA>"), "{text}");
		assert!(status(900 * PHA, true).text(&worker(false)).contains("closed"));
	}

	#[test]
	fn programs_read_whether_a_stake_suffices() {
		let read = |active, closed| status(active, closed).json(&worker(false));
		assert_eq!(read(900 * PHA, false)["suffices"], true);
		assert_eq!(read(900 * PHA, true)["suffices"], false);
		let below = read(900 * PHA - 1, false);
		assert_eq!(below["suffices"], false);
		assert_eq!(below["active"], (900 * PHA - 1).to_string());
		assert_eq!(below["unbonding"][1], json!({ "amount": (5 * PHA).to_string(), "until": 51 }));
	}
}
