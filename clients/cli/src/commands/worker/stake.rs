//! What is at stake for a worker, or for its gatekeeper's seat: more of it, less of it, how it stands.

use crate::{
	output::{
		self,
		operators::{StakeAdded, StakeLeaves, StakeWithdrawn, UnbondingPart, WorkerStake},
		words::Amount,
	},
	steps::chain_step,
};
use anyhow::ensure;
use phala_chain_client::{bonding, Chain, HeaderId, Sender};
use phala_protocol::{
	bonding::{Bond, BondId, UnbondingChunk},
	boot::WorkerId,
	text::{pha, Address},
	Balance, BlockNumber,
};

/// Which of a worker's two stakes is meant.
#[derive(Debug, clap::Args)]
pub struct BondOptions {
	/// The worker's number.
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

/// `phala worker stake`.
pub async fn top_up(
	of: &BondOptions,
	amount: Balance,
	chain: &Chain,
	sender: &Sender,
	json: bool,
) -> anyhow::Result<()> {
	let sending = sender.send(bonding::top_up(of.bond(), amount));
	let block = chain_step(&format!("staking {}", pha(amount)), sending).await?.0.block;
	let active = active(chain, block, of).await?;
	let told = StakeAdded {
		worker: of.worker,
		gatekeeper: of.gatekeeper,
		amount: Amount(amount),
		active: Amount(active),
		block: block.number,
	};
	output::tell(json, &told, format!("{} has {} at stake", of.role(), pha(active)))
}

/// `phala worker unstake`.
pub async fn unbond(
	of: &BondOptions,
	amount: Balance,
	force: bool,
	chain: &Chain,
	sender: &Sender,
	json: bool,
) -> anyhow::Result<()> {
	let minimum = bonding::minimum(chain, of.bond()).await?;
	if !force {
		let (best, _) = chain.header(None).await?;
		check_stays(of, active(chain, best, of).await?, amount, minimum)?;
	}
	let sending = sender.send(bonding::unbond(of.bond(), amount));
	let included = chain_step(&format!("letting {} leave", pha(amount)), sending).await?.0;
	let until = bonding::unbonding_began(&included)?.until;
	let active = active(chain, included.block, of).await?;
	let told = StakeLeaves {
		worker: of.worker,
		gatekeeper: of.gatekeeper,
		amount: Amount(amount),
		active: Amount(active),
		until,
		block: included.block.number,
	};
	let text = format!(
		"{} leave the stake of {} and can be slashed until block {until}; then: phala worker withdraw {}",
		pha(amount),
		of.role(),
		of.arguments(),
	);
	output::tell(json, &told, text)?;
	if active < minimum {
		say!(
			"  {} are left, less than the minimum of {}: {} is out of force",
			pha(active),
			pha(minimum),
			of.role()
		);
	}
	Ok(())
}

/// Refuses what would put a worker out of force that is in force, as far as its stake goes.
fn check_stays(
	of: &BondOptions,
	active: Balance,
	amount: Balance,
	minimum: Balance,
) -> anyhow::Result<()> {
	// More than there is the chain refuses.
	let Some(stays) = active.checked_sub(amount) else { return Ok(()) };
	ensure!(
		active < minimum || stays >= minimum,
		"{} were not taken off the stake of {}: {} are active, {} would stay, and with less than the minimum of {} it is out of force; at most {} can leave, --force lets more go, `phala worker close` lets all of a worker's",
		pha(amount),
		of.role(),
		pha(active),
		pha(stays),
		pha(minimum),
		pha(active - minimum)
	);
	Ok(())
}

/// `phala worker withdraw`.
pub async fn withdraw(of: &BondOptions, sender: &Sender, json: bool) -> anyhow::Result<()> {
	let included = chain_step("withdrawing", sender.send(bonding::withdraw(of.bond()))).await?.0;
	let amount = bonding::withdrawn(&included)?;
	let told = StakeWithdrawn {
		worker: of.worker,
		gatekeeper: of.gatekeeper,
		amount: Amount(amount),
		block: included.block.number,
	};
	output::tell(json, &told, format!("{} of {} are free again", pha(amount), of.role()))
}

/// `phala worker status`.
pub async fn show(of: &BondOptions, chain: &Chain, json: bool) -> anyhow::Result<()> {
	let status = StakeStatus::of(chain, of).await?;
	output::tell(json, &status.told(of), status.text(of).trim_end())
}

async fn active(chain: &Chain, at: HeaderId, of: &BondOptions) -> anyhow::Result<Balance> {
	Ok(bonding::bond(chain, at, of.bond()).await?.map_or(0, |bond| bond.active))
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
		let Some(bond) = bond else {
			let made = match of.gatekeeper {
				true => "phala gatekeeper apply",
				false => "phala worker register",
			};
			refuse!(
				"NoSuchWorker",
				"nothing is at stake for {} at block {}: `{made}` puts a stake up",
				of.role(),
				at.number
			)
		};
		let minimum = bonding::minimum(chain, of.bond()).await?;
		Ok(Self { block: at.number, bond, minimum })
	}

	fn suffices(&self) -> bool {
		!self.bond.closed && self.bond.active >= self.minimum
	}

	fn told(&self, of: &BondOptions) -> WorkerStake {
		let Bond { account, active, unbonding, closed } = &self.bond;
		let part = |chunk: &UnbondingChunk| UnbondingPart {
			amount: Amount(chunk.amount),
			until: chunk.until,
		};
		WorkerStake {
			worker: of.worker,
			gatekeeper: of.gatekeeper,
			operator: Address(*account).into(),
			active: Amount(*active),
			minimum: Amount(self.minimum),
			suffices: self.suffices(),
			unbonding: unbonding.iter().map(part).collect(),
			closed: *closed,
			block: self.block,
		}
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

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::text::PHA;

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
	fn a_stake_is_not_put_below_its_minimum_in_passing() {
		let check = |active, amount| {
			check_stays(&worker(false), active * PHA, amount * PHA, 900 * PHA)
				.map_err(|e| e.to_string())
		};
		assert_eq!(check(1_100, 200), Ok(()));
		let refused = check(1_100, 201).unwrap_err();
		for said in [
			"worker 3",
			"1100 PHA are active",
			"899 PHA would",
			"minimum of 900 PHA",
			"at most 200 PHA",
			"--force",
		] {
			assert!(refused.contains(said), "{said}: {refused}");
		}
		// Out of force as it is; more than there is.
		assert_eq!((check(850, 10), check(1_000, 1_001)), (Ok(()), Ok(())));
	}

	#[test]
	fn programs_read_whether_a_stake_suffices() {
		let read = |active, closed| status(active, closed).told(&worker(false));
		assert!(read(900 * PHA, false).suffices);
		assert!(!read(900 * PHA, true).suffices);
		let below = serde_json::to_value(read(900 * PHA - 1, false)).unwrap();
		assert_eq!(below["suffices"], false);
		assert_eq!(below["active"], (900 * PHA - 1).to_string());
		let chunk = serde_json::json!({ "amount": (5 * PHA).to_string(), "until": 51 });
		assert_eq!(below["unbonding"][1], chunk);
	}
}
