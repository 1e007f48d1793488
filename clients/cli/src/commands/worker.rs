//! `phala worker`: a worker's place in the network, and what is at stake for it ([`stake`]).
//!
//! * `register`: a place for a worker; the account that is chosen, its operator's, holds its stake.
//! * `stake`, `unstake`, `withdraw`, `status`: more of it, less of it, what has left, how it stands.
//! * `transfer` and `accept`, `close`: another operator; none.
//! * `allow-measurement`: on a development chain, by its sudo account, lets a build of pruntime in.

mod stake;

use crate::{
	accounts::AccountOptions,
	chain::{self, NodeOption},
	interrupt,
	names::AccountName,
	output::{
		self,
		operators::{MeasurementAllowed, WorkerChanged, WorkerClosed, WorkerRegistered},
	},
	steps::chain_step,
};
use anyhow::Context;
use phala_chain_client::{
	accounts::check_funds, bonding, clusters, registry, transactions, Call, Chain,
	ChainClientError, Sender,
};
use phala_protocol::{
	bonding::BondId,
	boot::WorkerId,
	text::{parse_pha, pha, Address},
	Balance, H256,
};
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
		/// Another one, though the operator has workers already: each has a stake of its own.
		#[arg(long)]
		another: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Puts more at stake for a worker. By its operator.
	Stake {
		#[command(flatten)]
		of: stake::BondOptions,
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
		of: stake::BondOptions,
		/// How much, in PHA.
		#[arg(value_parser = parse_pha)]
		amount: Balance,
		/// Also if less than the minimum stays: the worker, or its seat, is out of force then.
		#[arg(long)]
		force: bool,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Frees what has left the stake. By anyone; it goes to the operator.
	Withdraw {
		#[command(flatten)]
		of: stake::BondOptions,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Shows what is at stake for a worker, and what leaves.
	Status {
		#[command(flatten)]
		of: stake::BondOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Offers a worker, with its stake, to another account. By its operator.
	Transfer {
		/// The worker's number.
		worker: WorkerId,
		/// Whose it is to be.
		to: AccountName,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Takes over a worker that was offered to this account.
	Accept {
		/// The worker's number.
		worker: WorkerId,
		#[command(flatten)]
		account: AccountOptions,
		#[command(flatten)]
		node: NodeOption,
	},
	/// Gives up a worker that serves nowhere; its stake leaves. By its operator.
	Close {
		/// The worker's number.
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
		#[arg(long, value_name = "SECRET", default_value = "//Alice")]
		sudo: String,
		/// The measurement: 32 bytes in hexadecimal.
		#[arg(long, value_name = "HASH", value_parser = chain::hash, required_unless_present = "pruntime")]
		measurement: Option<H256>,
		/// The pruntime to measure.
		#[arg(long, value_name = "FILE", conflicts_with = "measurement")]
		pruntime: Option<PathBuf>,
	},
}

pub async fn run(command: Command, json: bool) -> anyhow::Result<ExitCode> {
	match command {
		Command::Stake { of, amount, account, node } => {
			let (chain, sender) = sender(&account, &node).await?;
			stake::top_up(&of, amount, &chain, &sender, json).await?;
		}
		Command::Unstake { of, amount, force, account, node } => {
			let (chain, sender) = sender(&account, &node).await?;
			stake::unbond(&of, amount, force, &chain, &sender, json).await?;
		}
		Command::Withdraw { of, account, node } => {
			let (chain, sender) = sender(&account, &node).await?;
			stake::withdraw(&of, &chain, &sender, json).await?;
		}
		Command::Status { of, node } => stake::show(&of, &node.connect().await?, json).await?,
		Command::Transfer { worker, to, account, node } => {
			let to = to.resolve()?;
			let call = registry::offer_worker(worker, Some(to.0));
			let done = format!("worker {worker} is offered to {to}, who takes it over with `phala worker accept {worker}`");
			let (chain, sender) = of_operator(worker, &account, &node).await?;
			check_left(&chain, worker).await?;
			change(worker, call, &done, &sender, json).await?;
		}
		Command::Accept { worker, account, node } => {
			let call = registry::accept_worker(worker);
			let done = format!("worker {worker} and its stake are this account's; start pruntime and pherry for it");
			let (chain, sender) = sender(&account, &node).await?;
			known(&chain, worker).await?;
			change(worker, call, &done, &sender, json).await?;
		}
		Command::Close { worker, account, node } => {
			let (chain, sender) = of_operator(worker, &account, &node).await?;
			check_left(&chain, worker).await?;
			let sending = sender.send(registry::close_worker(worker));
			let block = chain_step("closing the worker", sending).await?.0.block;
			let bond = bonding::bond(&chain, block, BondId::Worker(worker)).await?;
			let until = bond.and_then(|bond| Some(bond.unbonding.last()?.until));
			let text = match until {
				Some(until) => format!("worker {worker} is closed; its stake leaves until block {until}, then: phala worker withdraw {worker}"),
				None => format!("worker {worker} is closed"),
			};
			output::tell(json, &WorkerClosed { worker, until, block: block.number }, text)?;
		}
		Command::Register { operator, another, account, node } => {
			let operator = match operator {
				Some(secret) => AccountOptions { account: None, suri: Some(secret) }.open()?,
				None => account.open_or(Some(OPERATOR_VARIABLE))?,
			};
			let address = operator.address();
			let chain = node.connect().await?;
			let stake = chain.amount("Bonding", "WorkerStake").await?;
			if !another {
				// The newest block: who repeats the command does so at once.
				let (at, _) = chain.header(None).await?;
				let has = registry::workers_of(&chain, at, address.0).await?;
				check_first(address, &has, stake)?;
			}
			check_funds(&chain, address.0, "a worker's stake", stake).await?;
			let sender = interrupt::sender(&chain, operator.keypair);
			let worker = registry::register_worker(&sender).await?;
			let told = WorkerRegistered { worker, operator: address.into() };
			output::tell(json, &told, format!("worker {worker} of operator {address}"))?;
		}
		Command::AllowMeasurement { node, sudo, measurement, pruntime } => {
			let measurement = match (measurement, pruntime) {
				(Some(measurement), _) => measurement,
				(None, Some(pruntime)) => measure(&pruntime).await?,
				(None, None) => refuse!("Usage", "give --measurement or --pruntime"),
			};
			let sudo = transactions::account(&sudo)?;
			let sudo = interrupt::sender(&node.connect().await?, sudo);
			let block = registry::allow_measurement(&sudo, measurement).await?;
			let text = format!("{measurement:?} is allowed from block {block} on");
			let told = MeasurementAllowed { measurement: measurement.into(), block };
			output::tell(json, &told, text)?;
		}
	}
	Ok(ExitCode::SUCCESS)
}

/// Whoever repeats the command has the stake of a second worker held.
fn check_first(operator: Address, has: &[WorkerId], stake: Balance) -> anyhow::Result<()> {
	if !has.is_empty() {
		let has = has.iter().map(|worker| format!("worker {worker}")).collect::<Vec<_>>();
		refuse!(
			"WorkerExists",
			"{operator} is the operator of {} already: --another makes one more, for which another {} are held",
			has.join(", "),
			pha(stake)
		);
	}
	Ok(())
}

async fn sender(account: &AccountOptions, node: &NodeOption) -> anyhow::Result<(Chain, Sender)> {
	let operator = account.open_or(Some(OPERATOR_VARIABLE))?;
	let chain = node.connect().await?;
	let sender = interrupt::sender(&chain, operator.keypair);
	Ok((chain, sender))
}

/// Of the account that was chosen, which is the worker's operator.
async fn of_operator(
	worker: WorkerId,
	account: &AccountOptions,
	node: &NodeOption,
) -> anyhow::Result<(Chain, Sender)> {
	let operator = account.open_or(Some(OPERATOR_VARIABLE))?;
	let chain = node.connect().await?;
	check_operator(&chain, worker, operator.address()).await?;
	let sender = interrupt::sender(&chain, operator.keypair);
	Ok((chain, sender))
}

/// The operator of a worker, at the newest block: who just registered it goes on at once.
async fn known(chain: &Chain, worker: WorkerId) -> anyhow::Result<Address> {
	let (at, _) = chain.header(None).await?;
	let record = registry::worker(chain, at, worker).await?;
	Ok(Address(record.ok_or(ChainClientError::UnknownWorker { worker })?.operator))
}

/// Before anything is paid: the chain would refuse it.
pub async fn check_operator(
	chain: &Chain,
	worker: WorkerId,
	account: Address,
) -> anyhow::Result<()> {
	let operator = known(chain, worker).await?;
	if operator != account {
		refuse!(
			"NotOperator",
			"{account} may not do this: {operator} is the operator of worker {worker}; choose that account with --account or --suri"
		);
	}
	Ok(())
}

/// The same of what is done only with a worker that is in no cluster.
async fn check_left(chain: &Chain, worker: WorkerId) -> anyhow::Result<()> {
	if let Ok(cluster) = clusters::cluster_of(chain, worker).await {
		refuse!(
			"WorkerInUse",
			"worker {worker} is a member of cluster {cluster}, or asked to be one: `phala cluster leave {worker}` first"
		);
	}
	Ok(())
}

async fn change(
	worker: WorkerId,
	call: Call,
	done: &str,
	sender: &Sender,
	json: bool,
) -> anyhow::Result<()> {
	let what = format!("changing worker {worker}");
	let block = chain_step(&what, sender.send(call)).await?.0.block.number;
	output::tell(json, &WorkerChanged { worker, block }, done)
}

/// What a pruntime measures of itself.
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
		// Of another program the first line is enough to know it by.
		let said = String::from_utf8_lossy(&output.stderr);
		let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
		refuse!(
			"MeasurementFailed",
			"{shown} gave no measurement ({}): {said:?}. --pruntime takes a development build of pruntime, which says it with --print-measurement",
			output.status
		);
	}
	chain::hash(String::from_utf8_lossy(&output.stdout).trim())
		.map_err(anyhow::Error::msg)
		.with_context(|| format!("{shown} printed no measurement"))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[tokio::test]
	async fn another_program_than_pruntime_is_told_so_and_not_by_all_that_it_says() {
		use std::os::unix::fs::PermissionsExt;
		let folder = tempfile::tempdir().unwrap();
		let other = folder.path().join("other");
		let script = "#!/bin/sh\necho >&2; echo 'error: no such option' >&2; echo 'Usage: other' >&2; exit 2\n";
		std::fs::write(&other, script).unwrap();
		std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o700)).unwrap();
		let refused = crate::failure::body(&measure(&other).await.unwrap_err());
		assert_eq!(refused.code, "MeasurementFailed");
		for part in
			["\"error: no such option\"", "--pruntime takes a development build of pruntime"]
		{
			assert!(refused.message.contains(part), "{}", refused.message);
		}
		assert!(!refused.message.contains("Usage"), "{}", refused.message);
	}

	#[test]
	fn a_second_worker_of_an_operator_is_made_on_purpose_alone() {
		let operator = Address([1; 32]);
		assert!(check_first(operator, &[], 1).is_ok());
		let refused = check_first(operator, &[3, 4], 1_000_000_000_000_000).unwrap_err();
		let refused = crate::failure::body(&refused);
		assert_eq!(refused.code, "WorkerExists");
		for part in ["worker 3, worker 4", "--another", "1000 PHA", &operator.to_string()] {
			assert!(refused.message.contains(part), "{}", refused.message);
		}
	}
}
