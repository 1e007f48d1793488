//! Sends an account's transactions, several at once if need be.

use super::refusals;
use anyhow::Context;
use phala_pherry::{
	chain::Chain,
	submit::{self, Call, Included, Pending},
};
use subxt::ext::scale_decode::DecodeAsFields;
use subxt_signer::sr25519::Keypair;
use tokio::sync::Mutex;

/// An account that sends transactions.
pub struct Sender {
	chain: Chain,
	keypair: Keypair,
	/// One at a time asks the node for its number and submits: the node counts what it was given.
	submitting: Mutex<()>,
}

impl Sender {
	pub fn new(chain: &Chain, keypair: Keypair) -> Self {
		Self { chain: chain.clone(), keypair, submitting: Mutex::new(()) }
	}

	/// Submits a call and waits until it is in a block.
	///
	/// # Errors
	/// What the node or the chain refused, and what to do.
	pub async fn send(&self, call: Call) -> anyhow::Result<Included> {
		refusals::included(self.submit(call).await?).await
	}

	/// Submits a call. Those of one account take effect in the order in which they were submitted.
	///
	/// # Errors
	/// What the node refused, and what to do.
	pub async fn submit(&self, call: Call) -> anyhow::Result<Pending> {
		let _submitting = self.submitting.lock().await;
		let nonce = submit::next_nonce(&self.chain, &self.keypair).await?;
		let submitted = submit::submit_signed(&self.chain, &self.keypair, nonce, &call).await;
		submitted.map_err(refusals::explain)
	}

	/// As [`Sender::send`] for a call that root makes, by way of a development chain's sudo account.
	///
	/// # Errors
	/// Also when the call failed inside.
	pub async fn send_as_root(&self, call: Call) -> anyhow::Result<Included> {
		let name = call.name;
		let inner =
			submit::call_bytes(&self.chain, call.pallet, call.call, &call.arguments).await?;
		let sudo = Call { name, pallet: "Sudo", call: "sudo", arguments: inner };
		let included = self.send(sudo).await.with_context(|| {
			format!("{name} is for root: only the sudo account of a development chain can do it")
		})?;
		refusals::check_sudo(name, &included, &self.chain).await?;
		Ok(included)
	}
}

/// The first event of this name that a transaction caused, read by its fields' names.
///
/// # Errors
/// When there is none, or its fields are others.
pub fn event<T: DecodeAsFields>(
	included: &Included,
	pallet: &str,
	name: &str,
) -> anyhow::Result<T> {
	for event in included.events.iter() {
		let event = event?;
		if (event.pallet_name(), event.event_name()) == (pallet, name) {
			return event.decode_fields_unchecked_as::<T>().with_context(|| {
				format!("the node's event {pallet}.{name} has another form: is this `phala` as new as the node?")
			});
		}
	}
	anyhow::bail!(
		"block {} has the transaction without its event {pallet}.{name}",
		included.block.number
	)
}
