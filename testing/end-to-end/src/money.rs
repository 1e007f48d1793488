//! Who has how much, and who was paid what.

use crate::chain::{Chain, Event};
use anyhow::{ensure, Context};
use codec::{Decode, DecodeAll};
use phala_protocol::{agents::Excuse, AccountBytes, Balance, H256};
use sp_crypto_hashing::{blake2_128, twox_128};
use std::collections::BTreeMap;

/// 1,000,000,000 PHA.
const GENESIS_ISSUANCE: Balance = 1_000_000_000 * 1_000_000_000_000;

/// The price of a unit of these tests' agents: 0.001 PHA, as their manifests say.
const UNIT_PRICE: Balance = 1_000_000_000;

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funds {
	pub free: Balance,
	/// On hold.
	pub held: Balance,
}

impl Funds {
	/// Both.
	pub fn all(self) -> Balance {
		self.free + self.held
	}

	fn read(account_info: &[u8]) -> anyhow::Result<Self> {
		// Nonce and three counts; then free, reserved, frozen and flags.
		let bytes = account_info.get(16..48).context("an account's record has 80 bytes")?;
		let (free, held) = <(Balance, Balance)>::decode_all(&mut &bytes[..])?;
		Ok(Self { free, held })
	}
}

/// The key of a value in storage.
pub fn item(pallet: &str, name: &str) -> Vec<u8> {
	[twox_128(pallet.as_bytes()), twox_128(name.as_bytes())].concat()
}

/// The key of an entry in a map with hasher `Blake2_128Concat`.
pub fn entry(pallet: &str, name: &str, key: &[u8]) -> Vec<u8> {
	[item(pallet, name), blake2_128(key).to_vec(), key.to_vec()].concat()
}

/// The treasury's account.
pub fn treasury() -> AccountBytes {
	of_pallet(b"py/trsry")
}

/// The account with what callers put up for open requests.
pub fn escrow() -> AccountBytes {
	of_pallet(b"ph/escrw")
}

fn of_pallet(id: &[u8; 8]) -> AccountBytes {
	let mut account = [0; 32];
	account[..4].copy_from_slice(b"modl");
	account[4..12].copy_from_slice(id);
	account
}

impl Chain {
	/// What an account has after a block.
	pub async fn funds(&self, account: AccountBytes, block: u64) -> anyhow::Result<Funds> {
		let value = self.value(&entry("System", "Account", &account), block).await?;
		value.map_or(Ok(Funds::default()), |value| Funds::read(&value))
	}

	/// How many transactions an account has sent, those in the pool too.
	pub async fn nonce(&self, account: &subxt_signer::sr25519::Keypair) -> anyhow::Result<u64> {
		let account = account.public_key().to_account_id().to_string();
		let parameters = subxt::rpcs::rpc_params![account];
		self.request("system_accountNextIndex", parameters).await
	}

	/// All the money that there is after a block. Fails unless that is what all accounts have, and
	/// unless what each has on hold is what the reasons for it come to.
	pub async fn issuance(&self, block: u64) -> anyhow::Result<Balance> {
		let value = self.value(&item("Balances", "TotalIssuance"), block).await?;
		let issuance = Balance::decode_all(&mut &value.context("there is an issuance")?[..])?;
		let mut holds = self.holds(block).await?;
		let mut sum: Balance = 0;
		for (key, account) in self.values(&item("System", "Account"), block).await? {
			let funds = Funds::read(&account)?;
			let account = key.get(key.len().saturating_sub(32)..).unwrap_or_default();
			let held = holds.remove(account).unwrap_or_default();
			ensure!(
				funds.held == held,
				"{} has {} on hold at block {block}, for reasons that come to {held}",
				hex::encode(account),
				funds.held
			);
			sum = sum.checked_add(funds.all()).context("there is less money than that")?;
		}
		ensure!(holds.is_empty(), "{} accounts that are not there have funds on hold", holds.len());
		ensure!(sum == issuance, "accounts have {sum} at block {block}, issued are {issuance}");
		Ok(issuance)
	}

	/// What each account has on hold, over all reasons: `BoundedVec<IdAmount<RuntimeHoldReason, _>>`.
	async fn holds(&self, block: u64) -> anyhow::Result<BTreeMap<Vec<u8>, Balance>> {
		let mut holds = BTreeMap::new();
		for (key, reasons) in self.values(&item("Balances", "Holds"), block).await? {
			// A reason is the pallet's index and the reason's in the pallet.
			let reasons = Vec::<([u8; 2], Balance)>::decode_all(&mut &reasons[..])?;
			let account = key.get(key.len().saturating_sub(32)..).unwrap_or_default().to_vec();
			holds.insert(account, reasons.iter().map(|(_, amount)| amount).sum());
		}
		Ok(holds)
	}

	/// Fails unless there is as much money now as after block `from`, and as at the start: nothing in
	/// these networks makes money or burns it.
	pub async fn check_conservation(&self, from: u64) -> anyhow::Result<()> {
		let now = self.best().await?;
		let (start, before, after) =
			(self.issuance(0).await?, self.issuance(from).await?, self.issuance(now).await?);
		ensure!(start == GENESIS_ISSUANCE, "{start} were issued at the start");
		ensure!(
			start == before && start == after,
			"of {start} at the start there were {before} at block {from} and are {after} at block {now}"
		);
		Ok(())
	}
}

/// `Requests.RequestSubmitted`.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
pub struct Submitted {
	pub request: H256,
	pub agent: H256,
	pub caller: AccountBytes,
	pub deadline: u32,
	pub worker: u32,
	pub boot: u32,
	pub base_fee: Balance,
}

/// `Requests.RequestSettled`.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
pub struct Settled {
	pub request: H256,
	pub agent: H256,
	pub caller: AccountBytes,
	pub failed: bool,
	pub units: u32,
	pub fee: Balance,
	pub worker: Option<AccountBytes>,
	pub worker_paid: Balance,
	pub developer: AccountBytes,
	pub developer_paid: Balance,
	pub treasury_paid: Balance,
	pub refunded: Balance,
}

/// `Requests.RequestExpired`, as far as money goes.
#[derive(Clone, Debug, PartialEq, Eq, Decode)]
pub struct Expired {
	pub request: H256,
	pub refunded: Balance,
	pub penalty: Balance,
	/// Why nobody answers for it.
	pub excuse: Option<Excuse>,
}

/// The event's fields if it is about `request`, with its block.
pub fn about<T: Decode>(request: H256, event: &Event) -> anyhow::Result<Option<(u64, T)>> {
	if event.fields.get(..32) != Some(request.as_bytes()) {
		return Ok(None);
	}
	let fields = T::decode(&mut &event.fields[..])
		.with_context(|| format!("the fields of {}", event.name))?;
	Ok(Some((event.block, fields)))
}

impl Chain {
	/// Waits until a request is in a final block; the block.
	pub async fn submitted(&self, from: u64, id: H256) -> anyhow::Result<(u64, Submitted)> {
		self.event(from, "Requests.RequestSubmitted", |event| about(id, event)).await
	}

	/// Waits until a request is settled; the block.
	pub async fn settled(&self, from: u64, id: H256) -> anyhow::Result<(u64, Settled)> {
		self.event(from, "Requests.RequestSettled", |event| about(id, event)).await
	}

	/// Waits until a request has expired; the block.
	pub async fn expired(&self, from: u64, id: H256) -> anyhow::Result<(u64, Expired)> {
		self.event(from, "Requests.RequestExpired", |event| about(id, event)).await
	}

	/// Waits until a request is refunded because its assigned boot lost the lease; the block, and how much.
	pub async fn refunded(&self, from: u64, id: H256) -> anyhow::Result<(u64, Balance)> {
		let event = self.event(from, "Requests.RequestRefunded", |event| {
			about::<(H256, H256, Balance)>(id, event)
		});
		let (block, (_, _, refunded)) = event.await?;
		Ok((block, refunded))
	}

	/// [`Chain::check_payments`] of the one request that a block settled.
	pub async fn check_payment(&self, block: u64, paid: &Settled) -> anyhow::Result<()> {
		self.check_payments(block, std::slice::from_ref(paid)).await
	}

	/// Fails unless each request that a block settled was paid by the unit and shared out as the docs
	/// say, and unless workers, developers, the treasury and callers came by exactly that in this
	/// block, and nothing else was made or lost.
	pub async fn check_payments(&self, block: u64, all: &[Settled]) -> anyhow::Result<()> {
		// What each account has more, free and on hold.
		let mut expected = BTreeMap::<AccountBytes, (i128, i128)>::new();
		for paid in all {
			let worker = paid.worker.context("the worker has an operator")?;
			ensure!(paid.units > 0, "the work was counted: {paid:?}");
			ensure!(paid.fee == Balance::from(paid.units) * UNIT_PRICE, "{paid:?}");
			let (of_worker, of_developer) = (paid.fee * 60 / 100, paid.fee * 30 / 100);
			let of_treasury = paid.fee - of_worker - of_developer;
			ensure!(
				(paid.worker_paid, paid.developer_paid, paid.treasury_paid)
					== (of_worker, of_developer, of_treasury),
				"shared out as {of_worker}, {of_developer} and {of_treasury}: {paid:?}"
			);
			let mut more = |account, free: Balance, held: Balance| -> anyhow::Result<()> {
				let entry = expected.entry(account).or_default();
				entry.0 += i128::try_from(free)?;
				entry.1 -= i128::try_from(held)?;
				Ok(())
			};
			more(worker, of_worker, 0)?;
			more(paid.developer, of_developer, 0)?;
			more(treasury(), of_treasury, 0)?;
			more(paid.caller, paid.refunded, 0)?;
			// From what the caller had put up.
			let entry = expected.entry(escrow()).or_default();
			entry.0 -= i128::try_from(paid.refunded + paid.fee)?;
		}
		for (account, (free, held)) in expected {
			let (before, after) =
				(self.funds(account, block - 1).await?, self.funds(account, block).await?);
			let difference = |after: Balance, before: Balance| {
				anyhow::Ok(i128::try_from(after)? - i128::try_from(before)?)
			};
			ensure!(
				difference(after.free, before.free)? == free
					&& difference(after.held, before.held)? == held,
				"{} was to have {free} more, and {held} more on hold, and went from {before:?} to {after:?} in block {block}",
				hex::encode(account)
			);
		}
		ensure!(
			self.issuance(block - 1).await? == self.issuance(block).await?,
			"money was made or lost in block {block}"
		);
		Ok(())
	}
}
