//! Sends an account's transactions, several at once if need be.

use super::{next_nonce, refusal, sign, Call, Included, Pending, PoolError, SignedTransaction};
use crate::{accounts, limits, Chain, ChainClientError};
use phala_protocol::{text::Address, H256};
use std::{str::FromStr, sync::Arc};
use subxt::error::DispatchError;
use subxt_signer::{sr25519::Keypair, SecretUri};
use tokio::sync::Mutex;

/// The account of a secret: a phrase, a 0x seed or, in development, `//Alice`.
///
/// # Errors
/// [`ChainClientError::SecretMalformed`], which does not quote it.
pub fn account(secret: &str) -> Result<Keypair, ChainClientError> {
	let uri = SecretUri::from_str(secret.trim()).ok();
	uri.and_then(|uri| Keypair::from_uri(&uri).ok()).ok_or(ChainClientError::SecretMalformed)
}

/// Is told what is called, and the hash of the transaction that calls it.
pub type Tell = Arc<dyn Fn(&'static str, H256) + Send + Sync>;

/// An account that sends transactions.
pub struct Sender {
	chain: Chain,
	keypair: Keypair,
	tell: Option<Tell>,
	/// One at a time asks the node for its number and submits: the node counts what it was given.
	submitting: Mutex<()>,
}

impl Sender {
	pub fn new(chain: &Chain, keypair: Keypair) -> Self {
		Self { chain: chain.clone(), keypair, tell: None, submitting: Mutex::new(()) }
	}

	pub fn address(&self) -> Address {
		Address(self.keypair.public_key().0)
	}

	/// Tells of each transaction before it is submitted, of one that is signed anew again.
	#[must_use]
	pub fn telling(self, tell: Tell) -> Self {
		Self { tell: Some(tell), ..self }
	}

	/// Submits a call and waits until it is in a block.
	pub async fn send(&self, call: Call) -> Result<Included, ChainClientError> {
		self.submit(call).await?.included().await
	}

	/// Submits a call. Those of one account take effect in the order in which they were submitted.
	///
	/// # Errors
	/// [`ChainClientError::Pool`], and those of a call that the runtime does not have.
	pub async fn submit(&self, call: Call) -> Result<Pending, ChainClientError> {
		self.submit_after(call, |_| Ok(())).await
	}

	/// As [`Sender::submit`], once `before` has seen the signed transaction: what must not be lost
	/// should the transaction take effect and this process not live to see it is kept there. When
	/// another process of the same account takes the number, or the chain's runtime is upgraded, the
	/// call is signed anew, and `before` sees that too; the one it saw before can no longer take effect.
	/// Where `before` fails, nothing is submitted.
	pub async fn submit_after<E: From<ChainClientError>>(
		&self,
		call: Call,
		mut before: impl FnMut(&SignedTransaction) -> Result<(), E>,
	) -> Result<Pending, E> {
		let _submitting = self.submitting.lock().await;
		let name = call.name;
		let before = |signed: &SignedTransaction| {
			before(signed)?;
			if let Some(tell) = &self.tell {
				tell(name, signed.at.transaction);
			}
			Ok(())
		};
		submit_with_own_number(&Signing { sender: self, call }, before).await
	}

	/// As [`Sender::send`] for a call that root makes, by way of a development chain's sudo account.
	/// A call that failed inside is an error too.
	pub async fn send_as_root(&self, call: Call) -> Result<Included, ChainClientError> {
		let name = call.name;
		let sudo =
			Call { name, pallet: "Sudo", call: "sudo", arguments: call.bytes(&self.chain).await? };
		let included = self.send(sudo).await.map_err(|error| match error {
			error @ (ChainClientError::Dispatch { .. } | ChainClientError::Pool { .. }) => {
				ChainClientError::NotRoot { call: name, error: Box::new(error) }
			}
			error => error,
		})?;
		self.check_sudo(name, &included).await?;
		Ok(included)
	}

	/// Whether what root was to do by way of sudo had its effect.
	async fn check_sudo(
		&self,
		call: &'static str,
		included: &Included,
	) -> Result<(), ChainClientError> {
		let missing = ChainClientError::NoEvent {
			block: included.block.number,
			pallet: "Sudo",
			name: "Sudid",
		};
		for event in included.events.iter() {
			let event = event.map_err(super::unreadable_events)?;
			if (event.pallet_name(), event.event_name()) != ("Sudo", "Sudid") {
				continue;
			}
			// The only field: `Result<(), DispatchError>`.
			return match event.field_bytes().split_first() {
				Some((0, _)) => Ok(()),
				Some((1, error)) => {
					let metadata = super::at_finalized(&self.chain, call).await?.metadata();
					let error = match DispatchError::decode_from(error, metadata) {
						Ok(error) => refusal::name(error),
						Err(error) => error.to_string(),
					};
					Err(ChainClientError::Dispatch { call, error })
				}
				_ => Err(missing),
			};
		}
		Err(missing)
	}
}

/// What takes a transaction, and refuses one whose number another has taken, or that is signed for
/// another runtime.
trait Numbered {
	type Signed;
	type Taken;
	async fn sign(&self) -> Result<Self::Signed, ChainClientError>;
	async fn submit(&self, signed: &Self::Signed) -> Result<Self::Taken, ChainClientError>;
	/// Whether an upgrade came between signing and submitting. If so, what is signed from now on is for
	/// the new runtime.
	async fn was_upgraded_since(&self, signed: &Self::Signed) -> Result<bool, ChainClientError>;
}

struct Signing<'a> {
	sender: &'a Sender,
	call: Call,
}

impl Numbered for Signing<'_> {
	type Signed = SignedTransaction;
	type Taken = Pending;

	async fn sign(&self) -> Result<SignedTransaction, ChainClientError> {
		let Sender { chain, keypair, .. } = self.sender;
		let nonce = next_nonce(chain, keypair).await?;
		sign(chain, keypair, nonce, &self.call).await
	}

	async fn submit(&self, signed: &SignedTransaction) -> Result<Pending, ChainClientError> {
		let Sender { chain, keypair, .. } = self.sender;
		match signed.submit().await {
			Err(ChainClientError::Pool { call, refusal: PoolError::CannotPay { .. } }) => {
				let account = keypair.public_key().0;
				let has = accounts::newest_balance(chain, account).await.ok();
				let signer = has.map(|has| (account, has.free));
				Err(ChainClientError::Pool { call, refusal: PoolError::CannotPay { signer } })
			}
			submitted => submitted,
		}
	}

	async fn was_upgraded_since(
		&self,
		signed: &SignedTransaction,
	) -> Result<bool, ChainClientError> {
		// An upgrade that is not final yet is waited for: signing is for a final block's runtime.
		Ok(self.sender.chain.final_spec_version().await? != signed.spec_version)
	}
}

async fn submit_with_own_number<N: Numbered, E: From<ChainClientError>>(
	to: &N,
	mut before: impl FnMut(&N::Signed) -> Result<(), E>,
) -> Result<N::Taken, E> {
	let mut attempt = 1;
	loop {
		let signed = to.sign().await?;
		before(&signed)?;
		match to.submit(&signed).await {
			Err(ChainClientError::Pool { refusal, .. })
				if is_of_number(&refusal) && attempt < limits::NONCE_ATTEMPTS_MAX =>
			{
				attempt += 1;
			}
			Err(refused @ ChainClientError::Pool { refusal: PoolError::BadProof, .. }) => {
				if attempt >= limits::NONCE_ATTEMPTS_MAX || !to.was_upgraded_since(&signed).await? {
					return Err(refused.into());
				}
				attempt += 1;
			}
			taken => return Ok(taken?),
		}
	}
}

/// Whether another transaction took the number between asking for it and submitting.
fn is_of_number(refusal: &PoolError) -> bool {
	matches!(refusal, PoolError::Stale | PoolError::LowPriority)
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::cell::RefCell;

	/// A pool in which another process takes the first numbers, and what was done, in order.
	struct Rivals {
		taken: u32,
		done: RefCell<Vec<String>>,
		refusal: PoolError,
		/// Whether the chain's runtime becomes another one meanwhile.
		upgrades: bool,
	}

	impl Rivals {
		fn new(taken: u32, refusal: PoolError) -> Self {
			Self { taken, done: RefCell::default(), refusal, upgrades: false }
		}

		fn note(&self, what: String) {
			self.done.borrow_mut().push(what);
		}
	}

	impl Numbered for Rivals {
		type Signed = u32;
		type Taken = u32;

		async fn sign(&self) -> Result<u32, ChainClientError> {
			let number = self.done.borrow().iter().filter(|done| done.starts_with("sign")).count();
			self.note(format!("sign {number}"));
			Ok(number as u32)
		}

		async fn submit(&self, signed: &u32) -> Result<u32, ChainClientError> {
			self.note(format!("submit {signed}"));
			match *signed < self.taken {
				true => Err(ChainClientError::Pool { call: "x.y", refusal: self.refusal.clone() }),
				false => Ok(*signed),
			}
		}

		async fn was_upgraded_since(&self, signed: &u32) -> Result<bool, ChainClientError> {
			self.note(format!("upgraded since {signed}?"));
			Ok(self.upgrades)
		}
	}

	async fn submit(rivals: &Rivals) -> Result<u32, ChainClientError> {
		let keep = |signed: &u32| {
			rivals.note(format!("keep {signed}"));
			Ok::<_, ChainClientError>(())
		};
		submit_with_own_number(rivals, keep).await
	}

	#[tokio::test]
	async fn what_must_not_be_lost_is_kept_before_each_submission_under_that_very_transaction() {
		for refusal in [PoolError::Stale, PoolError::LowPriority] {
			let rivals = Rivals::new(1, refusal);
			assert_eq!(submit(&rivals).await.expect("the second number is free"), 1);
			let done = ["sign 0", "keep 0", "submit 0", "sign 1", "keep 1", "submit 1"];
			assert_eq!(*rivals.done.borrow(), done);
		}
	}

	#[tokio::test]
	async fn what_was_signed_for_the_runtime_before_an_upgrade_is_signed_anew_for_the_next() {
		let mut rivals = Rivals::new(1, PoolError::BadProof);
		rivals.upgrades = true;
		assert_eq!(submit(&rivals).await.expect("the second one is for the new runtime"), 1);
		let done =
			["sign 0", "keep 0", "submit 0", "upgraded since 0?", "sign 1", "keep 1", "submit 1"];
		assert_eq!(*rivals.done.borrow(), done);

		// No upgrade mends a signature that is wrong for another reason.
		rivals.upgrades = false;
		rivals.done.borrow_mut().clear();
		assert!(submit(&rivals).await.is_err());
		assert_eq!(*rivals.done.borrow(), ["sign 0", "keep 0", "submit 0", "upgraded since 0?"]);
	}

	#[tokio::test]
	async fn what_cannot_be_kept_is_not_submitted() {
		let rivals = Rivals::new(0, PoolError::Stale);
		let refusing = |_: &u32| Err(ChainClientError::SecretMalformed);
		let refused = submit_with_own_number(&rivals, refusing).await;
		assert!(matches!(refused, Err(ChainClientError::SecretMalformed)));
		assert_eq!(*rivals.done.borrow(), ["sign 0"]);
	}

	#[tokio::test]
	async fn numbers_are_tried_so_often_and_no_more_and_other_refusals_not_again() {
		let rivals = Rivals::new(limits::NONCE_ATTEMPTS_MAX - 1, PoolError::Stale);
		assert!(submit(&rivals).await.is_ok());
		let rivals = Rivals::new(limits::NONCE_ATTEMPTS_MAX, PoolError::Stale);
		assert!(submit(&rivals).await.is_err());
		let rivals = Rivals::new(1, PoolError::CannotPay { signer: None });
		assert!(submit(&rivals).await.is_err());
		assert_eq!(rivals.done.borrow().len(), 3);
	}

	#[test]
	fn an_account_is_of_a_phrase_a_seed_or_a_name_and_a_refusal_does_not_quote_the_secret() {
		assert_eq!(
			account(" //Alice\n").expect("a name").public_key().0,
			subxt_signer::sr25519::dev::alice().public_key().0
		);
		assert!(account(&format!("0x{}", "11".repeat(32))).is_ok());
		let Err(error) = account("not twelve words") else { panic!("no key") };
		assert!(!error.to_string().contains("not twelve"), "{error}");
	}
}
