//! Who has how much, and who was paid what.

use crate::chain::{Chain, Event};
use anyhow::{ensure, Context};
use codec::{Decode, DecodeAll};
use phala_protocol::{AccountBytes, Balance, H256};
use sp_crypto_hashing::{blake2_128, twox_128};

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

fn item(pallet: &str, name: &str) -> Vec<u8> {
	[twox_128(pallet.as_bytes()), twox_128(name.as_bytes())].concat()
}

/// The key of an entry in a map with hasher `Blake2_128Concat`.
pub fn entry(pallet: &str, name: &str, key: &[u8]) -> Vec<u8> {
	[item(pallet, name), blake2_128(key).to_vec(), key.to_vec()].concat()
}

/// The treasury's account.
pub fn treasury() -> AccountBytes {
	let mut account = [0; 32];
	account[..12].copy_from_slice(b"modlpy/trsry");
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

	/// All the money that there is after a block. Fails unless that is what all accounts have.
	pub async fn issuance(&self, block: u64) -> anyhow::Result<Balance> {
		let value = self.value(&item("Balances", "TotalIssuance"), block).await?;
		let issuance = Balance::decode_all(&mut &value.context("there is an issuance")?[..])?;
		let mut sum = 0;
		for (_, account) in self.values(&item("System", "Account"), block).await? {
			sum += Funds::read(&account)?.all();
		}
		ensure!(sum == issuance, "accounts have {sum} at block {block}, issued are {issuance}");
		Ok(issuance)
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
	/// 0 when the lease was told to move.
	pub lease: u8,
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

	/// Fails unless in the block that settled a request its worker, its developer, the treasury and
	/// its caller came by exactly what the event says, and nothing else was made or lost.
	pub async fn check_payment(&self, block: u64, paid: &Settled) -> anyhow::Result<()> {
		let worker = paid.worker.context("the worker has an operator")?;
		ensure!(paid.fee > 0, "the work was paid: {paid:?}");
		let sum = paid.worker_paid + paid.developer_paid + paid.treasury_paid;
		ensure!(sum == paid.fee, "{paid:?}");
		for (who, account, amount) in [
			("the worker", worker, paid.worker_paid),
			("the developer", paid.developer, paid.developer_paid),
			("the treasury", treasury(), paid.treasury_paid),
		] {
			let (before, after) =
				(self.funds(account, block - 1).await?, self.funds(account, block).await?);
			ensure!(
				after.free == before.free + amount && after.held == before.held,
				"{who} was to get {amount} and went from {before:?} to {after:?}"
			);
		}
		let (before, after) =
			(self.funds(paid.caller, block - 1).await?, self.funds(paid.caller, block).await?);
		ensure!(
			after.free == before.free + paid.refunded
				&& before.held == after.held + paid.refunded + paid.fee,
			"the caller was to get {} back of {} more and went from {before:?} to {after:?}",
			paid.refunded,
			paid.fee
		);
		ensure!(
			self.issuance(block - 1).await? == self.issuance(block).await?,
			"money was made or lost in block {block}"
		);
		Ok(())
	}
}
