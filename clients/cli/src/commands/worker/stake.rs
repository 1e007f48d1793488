//! What is at stake for a worker, or for its gatekeeper's seat: more of it, less of it, how it stands.

use crate::{
	output::{
		self,
		operators::{StakeAdded, StakeLeaves, StakeWithdrawn, UnbondingPart, WorkerStake},
		words::Amount,
	},
	steps::chain_step,
};
use phala_chain_client::{accounts::check_funds, bonding, Chain, HeaderId, Sender};
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

/// What is at stake, of the account alone that put it up: the chain would refuse others.
async fn check_account(of: &BondOptions, chain: &Chain, sender: &Sender) -> anyhow::Result<Bond> {
	let StakeStatus { bond, .. } = StakeStatus::of(chain, of).await?;
	let (account, owner) = (sender.address(), Address(bond.account));
	if account != owner {
		refuse!(
			"NotBondAccount",
			"{account} may not do this: {owner} put up the stake of {}; choose that account with --account or --suri",
			of.role()
		);
	}
	Ok(bond)
}

/// `phala worker stake`.
pub async fn top_up(
	of: &BondOptions,
	amount: Balance,
	chain: &Chain,
	sender: &Sender,
	json: bool,
) -> anyhow::Result<()> {
	check_account(of, chain, sender).await?;
	check_funds(chain, sender.address().0, "the stake", amount).await?;
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
	let has = check_account(of, chain, sender).await?.active;
	if amount > has {
		refuse!(
			"NotThatMuchActive",
			"{} were not taken off the stake of {}: {} are active",
			pha(amount),
			of.role(),
			pha(has)
		);
	}
	if !force {
		check_stays(of, has, amount, minimum)?;
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
	// More than there is was refused.
	let Some(stays) = active.checked_sub(amount) else { return Ok(()) };
	if active >= minimum && stays < minimum {
		refuse!(
			"BelowMinimum",
			"{} were not taken off the stake of {}: {} are active, {} would stay, and with less than the minimum of {} it is out of force; at most {} can leave, --force lets more go, `phala worker close` lets all of a worker's",
		pha(amount),
		of.role(),
		pha(active),
		pha(stays),
		pha(minimum),
			pha(active - minimum)
		);
	}
	Ok(())
}

/// `phala worker withdraw`.
pub async fn withdraw(
	of: &BondOptions,
	chain: &Chain,
	sender: &Sender,
	json: bool,
) -> anyhow::Result<()> {
	let StakeStatus { block, bond, .. } = StakeStatus::of(chain, of).await?;
	check_has_left(of, block, &bond.unbonding)?;
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

/// Refuses what the chain would, before it costs a transaction.
fn check_has_left(
	of: &BondOptions,
	block: BlockNumber,
	unbonding: &[UnbondingChunk],
) -> anyhow::Result<()> {
	match unbonding.first() {
		None => refuse!(
			"NothingToWithdraw",
			"nothing of the stake of {} leaves: `phala worker unstake {} <PHA>` lets a part leave",
			of.role(),
			of.arguments()
		),
		// It will have passed in the block that takes the transaction.
		Some(first) if first.until > block.saturating_add(1) => refuse!(
			"NothingToWithdraw",
			"nothing of the stake of {} has left yet: {} can be withdrawn from block {} on, {} blocks from now; `phala worker status {}` shows all of it",
			of.role(),
			pha(first.amount),
			first.until,
			first.until - block,
			of.arguments()
		),
		Some(_) => Ok(()),
	}
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
			super::known(chain, of.worker).await?;
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
	fn what_has_not_left_yet_is_not_withdrawn_at_the_cost_of_a_transaction() {
		let check = |block, unbonding: &[UnbondingChunk]| {
			let refused = check_has_left(&worker(false), block, unbonding).err()?;
			Some(crate::failure::body(&refused))
		};
		let leaving = [UnbondingChunk { amount: 5 * PHA, until: 51 }];
		let refused = check(9, &leaving).unwrap();
		assert_eq!(refused.code, "NothingToWithdraw");
		for part in ["5 PHA", "from block 51 on, 42 blocks from now"] {
			assert!(refused.message.contains(part), "{}", refused.message);
		}
		assert_eq!(check(51, &leaving).map(|refused| refused.code), None);
		let refused = check(51, &[]).unwrap();
		assert!(refused.message.contains("phala worker unstake 3 <PHA>"), "{}", refused.message);
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
