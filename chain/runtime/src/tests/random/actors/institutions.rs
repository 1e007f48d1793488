//! Bounties, deputies, shared accounts, names, gatekeepers and what governance does to code: stock pallets and
//! ours, as they meet in one account.

use super::*;
use codec::Encode;
use pallet_bounties::BountyStatus;
use pallet_child_bounties::ChildBountyStatus;
use pallet_identity::{legacy::IdentityInfo, Data};
use sp_io::hashing::blake2_256;

/// Bounties at once, at most.
const BOUNTIES: usize = 3;

impl Actors {
	/// As sudo does.
	fn command(
		&mut self,
		chain: &mut Chain,
		kind: &'static str,
		call: impl Into<RuntimeCall>,
	) -> bool {
		let (alice, call) = (self.users[0].clone(), Box::new(call.into()));
		let failed = || {
			System::events().into_iter().rev().find_map(|record| match record.event {
				RuntimeEvent::Sudo(pallet_sudo::Event::Sudid { sudo_result }) => {
					Some(sudo_result.is_err())
				}
				_ => None,
			})
		};
		let is_done = self.send(chain, &alice, "commanded", pallet_sudo::Call::sudo { call })
			&& failed() == Some(false);
		if is_done {
			self.note(kind);
		}
		is_done
	}

	/// One step of a bounty's life, whichever is next; now and then somebody gives up.
	pub(super) fn work_on_bounties(&mut self, chain: &mut Chain, random: &mut Random) {
		use pallet_bounties::Call;
		let mut bounties: Vec<_> = pallet_bounties::Bounties::<Runtime>::iter().collect();
		bounties.sort_by_key(|(id, _)| *id);
		if bounties.is_empty() || (bounties.len() < BOUNTIES && random.one_in(4)) {
			let by = self.user(random);
			let value = currency::PHA * Balance::from(100 + random.below(100));
			let description = vec![b'b'; random.below(80) as usize];
			self.send(chain, &by, "proposed a bounty", Call::propose_bounty { value, description });
			// That it can be paid.
			let dest = MultiAddress::Id(config::money::TreasuryAccountId::get());
			let gift = pallet_balances::Call::transfer_keep_alive { dest, value };
			self.send(chain, &by, "gave to the treasury", gift);
			return;
		}
		let Some((bounty_id, bounty)) = random.pick(&bounties).cloned() else { return };
		if random.one_in(12) {
			self.command(chain, "closed a bounty", Call::close_bounty { bounty_id });
			return;
		}
		match bounty.get_status() {
			BountyStatus::Proposed => {
				self.command(chain, "approved a bounty", Call::approve_bounty { bounty_id });
			}
			// A spend period ends; it takes longer than a short run.
			BountyStatus::Approved | BountyStatus::ApprovedWithCurator { .. } => {
				let now = System::block_number();
				pallet_treasury::Pallet::<Runtime>::spend_funds(1, now);
				let funded = pallet_bounties::Bounties::<Runtime>::get(bounty_id);
				if funded.is_some_and(|one| one.get_status() == BountyStatus::Funded) {
					self.note("funded a bounty");
				}
			}
			BountyStatus::Funded => {
				let curator = MultiAddress::Id(self.account(random));
				let fee = currency::PHA * Balance::from(random.below(40));
				let call = Call::propose_curator { bounty_id, curator, fee };
				self.command(chain, "named a curator", call);
			}
			BountyStatus::CuratorProposed { curator } => {
				let by = self.owner_or_thief(&curator, random);
				let call = Call::accept_curator { bounty_id };
				self.send(chain, &by, "took a bounty", call);
			}
			BountyStatus::Active { curator, .. } => self.curate(chain, random, bounty_id, &curator),
			BountyStatus::PendingPayout { .. } => {
				let by = self.user(random);
				self.send(chain, &by, "claimed a bounty", Call::claim_bounty { bounty_id });
			}
		}
	}

	/// Parts of a bounty, each with a curator of its own.
	fn curate(
		&mut self,
		chain: &mut Chain,
		random: &mut Random,
		bounty_id: u32,
		curator: &AccountId,
	) {
		use pallet_child_bounties::Call;
		let by = self.owner_or_thief(curator, random);
		let parts = pallet_child_bounties::ChildBounties::<Runtime>::iter_prefix(bounty_id);
		let mut parts: Vec<_> = parts.collect();
		parts.sort_by_key(|(id, _)| *id);
		let Some((child_bounty_id, part)) = random.pick(&parts).cloned() else {
			if random.one_in(6) {
				let beneficiary = MultiAddress::Id(self.account(random));
				let call = pallet_bounties::Call::award_bounty { bounty_id, beneficiary };
				self.send(chain, &by, "awarded a bounty", call);
				return;
			}
			let value = currency::PHA * Balance::from(10 + random.below(20));
			let (parent_bounty_id, description) = (bounty_id, vec![b'c'; 9]);
			let call = Call::add_child_bounty { parent_bounty_id, value, description };
			self.send(chain, &by, "split a bounty", call);
			return;
		};
		let parent_bounty_id = bounty_id;
		match part.status {
			ChildBountyStatus::Added => {
				let (curator, fee) = (MultiAddress::Id(self.account(random)), currency::PHA);
				let call =
					Call::propose_curator { parent_bounty_id, child_bounty_id, curator, fee };
				self.send(chain, &by, "named a part's curator", call);
			}
			ChildBountyStatus::CuratorProposed { curator } => {
				let by = self.owner_or_thief(&curator, random);
				let call = Call::accept_curator { parent_bounty_id, child_bounty_id };
				self.send(chain, &by, "took a part of a bounty", call);
			}
			ChildBountyStatus::Active { .. } | ChildBountyStatus::PendingPayout { .. } => {
				let call = Call::close_child_bounty { parent_bounty_id, child_bounty_id };
				self.send(chain, &by, "closed a part of a bounty", call);
			}
		}
	}

	/// Deputies come, act, announce and go.
	pub(super) fn name_deputies(&mut self, chain: &mut Chain, random: &mut Random) {
		use config::accounts::ProxyType;
		use pallet_proxy::Call;
		let (by, other) = (self.user(random), self.account(random));
		let (delegate, delay) = (MultiAddress::Id(other.clone()), random.below(2) as u32 * 5);
		let proxy_type = match random.below(3) {
			0 => ProxyType::Any,
			1 => ProxyType::Staking,
			_ => ProxyType::Workers,
		};
		let dest = MultiAddress::Id(self.account(random));
		let gift = pallet_balances::Call::transfer_keep_alive { dest, value: Self::amount(random) };
		let gift = RuntimeCall::from(gift);
		let call_hash = H256(blake2_256(&gift.encode()));
		let (real, force_proxy_type) = (delegate.clone(), None);
		let (kind, call) = match random.below(6) {
			0 | 1 => ("named a deputy", Call::add_proxy { delegate, proxy_type, delay }),
			2 => ("dismissed a deputy", Call::remove_proxy { delegate, proxy_type, delay }),
			3 => ("dismissed all deputies", Call::remove_proxies {}),
			4 => ("announced", Call::announce { real, call_hash }),
			_ => ("acted for another", Call::proxy { real, force_proxy_type, call: gift.into() }),
		};
		self.send(chain, &by, kind, call);
	}

	/// Two of three accounts decide together.
	pub(super) fn act_together(&mut self, chain: &mut Chain, random: &mut Random) {
		use pallet_multisig::Call;
		let threshold = 2;
		let mut three: Vec<AccountId> =
			self.users[1..4].iter().map(|user| user.public().into()).collect();
		three.sort();
		let shared = pallet_multisig::Pallet::<Runtime>::multi_account_id(&three, threshold);
		let by = self.users[1 + random.below(3) as usize].clone();
		let me: AccountId = by.public().into();
		let other_signatories = three.into_iter().filter(|other| *other != me).collect();
		let mut open: Vec<_> =
			pallet_multisig::Multisigs::<Runtime>::iter_prefix(&shared).collect();
		open.sort_by_key(|(hash, _)| *hash);
		let Some((call_hash, multisig)) = random.pick(&open).cloned() else {
			let remark = frame_system::Call::remark { remark: random.bytes().to_vec() };
			let call_hash = blake2_256(&RuntimeCall::from(remark).encode());
			let (maybe_timepoint, max_weight) = (None, Default::default());
			let call = Call::approve_as_multi {
				threshold,
				other_signatories,
				maybe_timepoint,
				call_hash,
				max_weight,
			};
			self.send(chain, &by, "asked for another's word", call);
			return;
		};
		let timepoint = multisig.when;
		let cancel = Call::cancel_as_multi { threshold, other_signatories, timepoint, call_hash };
		self.send(chain, &by, "took a question back", cancel);
	}

	/// Says who it is, and whose accounts others are, or no longer.
	pub(super) fn say_who(&mut self, chain: &mut Chain, random: &mut Random) {
		use pallet_identity::Call;
		let by = self.user(random);
		let name = |random: &mut Random| {
			Data::Raw(vec![b'n'; random.below(30) as usize].try_into().expect("it is short"))
		};
		match random.below(4) {
			0 | 1 => {
				let (display, legal) = (name(random), name(random));
				let info = Box::new(IdentityInfo { display, legal, ..Default::default() });
				self.send(chain, &by, "said who it is", Call::set_identity { info });
			}
			2 => {
				let subs = (0..random.below(3))
					.map(|n| (AccountId::new([n as u8 + 1; 32]), name(random)))
					.collect();
				self.send(chain, &by, "named its accounts", Call::set_subs { subs });
			}
			_ => drop(self.send(chain, &by, "took its name back", Call::clear_identity {})),
		}
	}

	/// Operators offer to keep keys, are seated, and go.
	pub(super) fn keep_keys(&mut self, chain: &mut Chain, random: &mut Random) {
		use pallet_gatekeepers::Call;
		let Some((worker, operator)) = self.some_worker(random) else { return };
		let by = self.owner_or_thief(&operator, random);
		match random.below(4) {
			0 | 1 => drop(self.send(chain, &by, "applied for a seat", Call::apply { worker })),
			2 => {
				let mut candidates: Vec<_> =
					pallet_gatekeepers::Candidates::<Runtime>::iter_keys().collect();
				candidates.sort();
				let Some(worker) = random.pick(&candidates).copied() else { return };
				self.command(chain, "seated a gatekeeper", Call::seat { workers: vec![worker] });
			}
			_ => drop(self.send(chain, &by, "withdrew from the seats", Call::withdraw { worker })),
		}
	}

	/// Code comes onto the list, and goes when its successor is there.
	pub(super) fn change_policy(&mut self, chain: &mut Chain, random: &mut Random) {
		use pallet_registry::Call;
		let is_allowed = |code: &H256| {
			pallet_registry::Measurements::<Runtime>::get(code)
				.is_some_and(|rule| rule.until.is_none())
		};
		let (measurement, successor) = match random.one_in(2) {
			true => (MEASUREMENT, NEXT_MEASUREMENT),
			false => (NEXT_MEASUREMENT, MEASUREMENT),
		};
		if !is_allowed(&measurement) {
			self.command(chain, "allowed code", Call::allow_measurement { measurement });
		} else if random.one_in(5) {
			let until = System::block_number() + random.below(20) as u32;
			let call = Call::delist_measurement { measurement, until, successor };
			self.command(chain, "delisted code", call);
		}
	}
}
