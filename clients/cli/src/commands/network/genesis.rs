//! The genesis of a new network: that of the node's `staging`, with other people in it.
//!
//! What is replaced: who has PHA, who validates, with which keys and bonds. Whatever else the preset
//! says stays: periods, pots of the network's own, no sudo. The issuance stays too: what nobody is
//! allotted is the treasury's. None of the published development accounts may be left over.

use super::validator_keys::Validator;
use anyhow::{ensure, Context};
use phala_chain_client::transactions;
use phala_protocol::{
	text::{pha, ss58, Address, PHA, SS58_GENERIC_PREFIX},
	AccountBytes, Balance,
};
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// The treasury's account, as the runtime makes it of the pallet's id.
const TREASURY: AccountBytes = *b"modlpy/trsry\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What a validator's account gets beside its bond.
const FOR_FEES: Balance = 100 * PHA;

/// Their secrets are known to all.
const DEVELOPMENT: [&str; 6] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];

/// Who gets what, at genesis.
pub struct Allotments<'a> {
	pub validators: &'a [Validator],
	/// Of each validator.
	pub bond: Balance,
	pub others: &'a [(Address, Balance)],
}

/// `preset` with these people in place of its own; and what the treasury has.
pub fn with_people(mut preset: Value, people: &Allotments<'_>) -> anyhow::Result<(Value, Balance)> {
	check_validators(&preset, people)?;
	let (balances, treasury) = balances(&preset, people)?;
	let field = |value: &mut Value, path: &str, new: Value| {
		let place = value.pointer_mut(path);
		*place.with_context(|| {
			format!("the node's genesis has no {path}: is it of this release?")
		})? = new;
		anyhow::Ok(())
	};
	let balances: Vec<_> =
		balances.iter().map(|(account, amount)| json!([address(account), amount])).collect();
	field(&mut preset, "/balances/balances", balances.into())?;
	let Allotments { validators, bond, .. } = people;
	let keys = validators.iter().map(|validator| {
		let stash = address(&validator.stash.0);
		let keys = validator.session_keys;
		let keys = json!({
			"babe": address(&keys.babe),
			"grandpa": address(&keys.grandpa),
			"authority_discovery": address(&keys.authority_discovery),
			"beefy": ss58(SS58_GENERIC_PREFIX, &keys.beefy),
		});
		json!([stash, stash, keys])
	});
	field(&mut preset, "/session/keys", keys.collect())?;
	let stakers = validators.iter().map(|validator| {
		let stash = address(&validator.stash.0);
		json!([stash, stash, bond, "Validator"])
	});
	field(&mut preset, "/staking/stakers", stakers.collect())?;
	field(&mut preset, "/staking/validatorCount", validators.len().into())?;
	// Nobody of the new network has PHA that vests.
	if let Some(vesting) = preset.pointer_mut("/vesting/vesting") {
		*vesting = json!([]);
	}
	no_development_account_in(&preset, "")?;
	Ok((preset, treasury))
}

/// What the runtime would refuse when the state is built, with nothing said of why.
fn check_validators(preset: &Value, people: &Allotments<'_>) -> anyhow::Result<()> {
	let (fewest, count) = (&preset["staking"]["minimumValidatorCount"], people.validators.len());
	let fewest = fewest.as_u64().context("the node's genesis says no fewest validators")?;
	if (count as u64) < fewest {
		refuse!(
			"GenesisInvalid",
			"{count} validators are too few: a network without sudo has at least {fewest}, so that one may fail; give --validators {fewest} or more"
		);
	}
	let least = preset["staking"]["minValidatorBond"].as_number().and_then(|bond| bond.as_u128());
	let least = least.context("the node's genesis says no least bond of a validator")?;
	if people.bond < least {
		refuse!(
			"GenesisInvalid",
			"a bond of {} is too small: a validator bonds {} at least; give --bond {} or more",
			pha(people.bond),
			pha(least),
			pha(least).trim_end_matches(" PHA")
		);
	}
	Ok(())
}

/// Of every account; and the treasury's.
fn balances(
	preset: &Value,
	people: &Allotments<'_>,
) -> anyhow::Result<(BTreeMap<AccountBytes, Balance>, Balance)> {
	let known = development_accounts()?;
	let mut issuance: Balance = 0;
	let mut left: BTreeMap<AccountBytes, Balance> = BTreeMap::new();
	let listed = preset.pointer("/balances/balances").and_then(Value::as_array);
	for entry in listed.context("the node's genesis has no balances")? {
		let account = entry[0].as_str().context("a balance has an account")?;
		let account: Address = account.parse()?;
		let amount = entry[1].as_number().and_then(|amount| amount.as_u128());
		let amount = amount.context("a balance is an amount")?;
		issuance = issuance.checked_add(amount).context("the balances are too many")?;
		if !known.contains(&account.0) && account.0 != TREASURY {
			left.insert(account.0, amount);
		}
	}
	let of_validator = people.bond.checked_add(FOR_FEES).context("the bond is too large")?;
	let of_validators = people.validators.iter().map(|validator| (validator.stash, of_validator));
	for (to, amount) in of_validators.chain(people.others.iter().copied()) {
		if known.contains(&to.0) {
			refuse!(
				"GenesisInvalid",
				"{to} is a published development account: everybody can sign for it"
			);
		}
		let has = left.entry(to.0).or_default();
		*has = has.checked_add(amount).context("the allocations are too large")?;
	}
	let given = left.values().try_fold(0, |sum: Balance, amount| sum.checked_add(*amount));
	let Some(rest) = given.and_then(|given| issuance.checked_sub(given)) else {
		refuse!(
			"GenesisInvalid",
			"{} validators with {} each and the allocations are more than the {} there are at genesis: give less with --bond or --allocate",
			people.validators.len(),
			pha(of_validator),
			pha(issuance)
		);
	};
	if rest > 0 {
		*left.entry(TREASURY).or_default() += rest;
	}
	Ok((left, rest))
}

fn address(key: &[u8; 32]) -> String {
	ss58(SS58_GENERIC_PREFIX, key)
}

fn development_accounts() -> anyhow::Result<Vec<AccountBytes>> {
	let of = |secret: String| anyhow::Ok(transactions::account(&secret)?.public_key().0);
	DEVELOPMENT
		.iter()
		.flat_map(|name| [format!("//{name}"), format!("//{name}//stash")])
		.map(of)
		.collect()
}

/// The preset may name some in a place that this release's `with_people` does not know.
fn no_development_account_in(value: &Value, path: &str) -> anyhow::Result<()> {
	match value {
		Value::String(text) => {
			let known = development_accounts()?;
			let is_known = text.parse::<Address>().is_ok_and(|found| known.contains(&found.0));
			ensure!(!is_known, "the node's genesis names the development account {text} at {path}: a network with value cannot start like that");
			Ok(())
		}
		Value::Array(values) => {
			values.iter().try_for_each(|value| no_development_account_in(value, path))
		}
		Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
			no_development_account_in(value, &format!("{path}/{name}"))
		}),
		_ => Ok(()),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::commands::network::validator_keys::SessionKeys;

	const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
	const ISSUANCE: Balance = 1_000_000_000 * PHA;
	const POT: AccountBytes = [9; 32];
	const BOND: Balance = 1_000_000 * PHA;

	fn validator(number: u8) -> Validator {
		let key = [number; 32];
		let beefy = [number; 33];
		let session_keys = SessionKeys { babe: key, grandpa: key, authority_discovery: key, beefy };
		Validator { stash: Address([100 + number; 32]), session_keys, peer: "12D3".into() }
	}

	fn validators() -> Vec<Validator> {
		(1..=5).map(validator).collect()
	}

	fn preset() -> Value {
		json!({
			"balances": { "balances": [
				[ALICE, ISSUANCE / 2],
				[address(&POT), ISSUANCE / 4],
				[address(&TREASURY), ISSUANCE / 4],
			] },
			"parameters": { "network": { "epochSlots": 1_800 } },
			"session": { "keys": [[ALICE, ALICE, { "babe": ALICE }]] },
			"staking": {
				"minimumValidatorCount": 4,
				"validatorCount": 1,
				"minValidatorBond": 5,
				"stakers": [[ALICE, ALICE, 1, "Validator"]],
			},
			"sudo": { "key": null },
			"vesting": { "vesting": [[ALICE, 0, 1, 1]] },
		})
	}

	fn amount_of(genesis: &Value, account: &AccountBytes) -> Balance {
		let entries = genesis["balances"]["balances"].as_array().unwrap().iter();
		let found = entries.filter(|entry| entry[0] == address(account).as_str());
		found.map(|entry| entry[1].as_number().unwrap().as_u128().unwrap()).sum()
	}

	#[test]
	fn people_are_replaced_the_issuance_and_all_else_stay() {
		let validators = validators();
		let others = [(Address([7; 32]), 5 * PHA), (Address([7; 32]), 6 * PHA)];
		let people = Allotments { validators: &validators, bond: BOND, others: &others };
		let (genesis, treasury) = with_people(preset(), &people).unwrap();

		let entries = genesis["balances"]["balances"].as_array().unwrap();
		let amounts = entries.iter().map(|entry| entry[1].as_number().unwrap().as_u128().unwrap());
		assert_eq!(amounts.sum::<Balance>(), ISSUANCE);
		assert_eq!(amount_of(&genesis, &[7; 32]), 11 * PHA);
		assert_eq!(amount_of(&genesis, &validators[0].stash.0), BOND + FOR_FEES);
		assert_eq!(amount_of(&genesis, &POT), ISSUANCE / 4, "a pot is nobody's to give away");
		assert_eq!(amount_of(&genesis, &TREASURY), treasury);

		assert_eq!(genesis["session"]["keys"].as_array().unwrap().len(), 5);
		assert_eq!(genesis["staking"]["validatorCount"], 5);
		assert_eq!(genesis["staking"]["minimumValidatorCount"], 4);
		assert_eq!(genesis["staking"]["minValidatorBond"], 5);
		assert_eq!(genesis["staking"]["stakers"][1][2].as_number().unwrap().as_u128(), Some(BOND));
		assert_eq!(genesis["parameters"], preset()["parameters"]);
		assert!(!genesis.to_string().contains(ALICE));
	}

	#[test]
	fn all_that_there_is_can_be_allotted_and_no_more() {
		let there_is = ISSUANCE / 4 * 3 - 5 * (BOND + FOR_FEES);
		let with = |amount| {
			let others = [(Address([7; 32]), amount)];
			let people = Allotments { validators: &validators(), bond: BOND, others: &others };
			with_people(preset(), &people)
		};
		let (genesis, treasury) = with(there_is).unwrap();
		assert_eq!((treasury, amount_of(&genesis, &TREASURY)), (0, 0));
		let refused = with(there_is + 1).unwrap_err().to_string();
		assert!(refused.contains("1000000000 PHA"), "{refused}");
	}

	#[test]
	fn nothing_is_given_to_an_account_whose_secret_is_published() {
		let others = [(ALICE.parse().unwrap(), PHA)];
		let people = Allotments { validators: &validators(), bond: BOND, others: &others };
		let refused = with_people(preset(), &people).unwrap_err().to_string();
		assert!(refused.contains("published development account"), "{refused}");
	}

	#[test]
	fn a_development_account_in_a_place_that_is_not_known_is_refused_by_that_place() {
		let mut preset = preset();
		preset["sudo"]["key"] = ALICE.into();
		let people = Allotments { validators: &validators(), bond: BOND, others: &[] };
		let refused = with_people(preset, &people).unwrap_err().to_string();
		assert!(refused.contains("/sudo/key"), "{refused}");
	}

	/// Has too few machines, and little PHA.
	struct Skimper;

	impl Skimper {
		fn make(count: usize, bond: Balance) -> anyhow::Result<(Value, Balance)> {
			let people = Allotments { validators: &validators()[..count], bond, others: &[] };
			with_people(preset(), &people)
		}
	}

	#[test]
	fn too_few_validators_and_too_small_bonds_are_refused_with_what_is_taken() {
		assert!(Skimper::make(4, 5).is_ok());
		let refused = Skimper::make(3, BOND).unwrap_err().to_string();
		assert!(refused.contains("--validators 4"), "{refused}");
		let refused = Skimper::make(4, 4).unwrap_err().to_string();
		assert!(refused.contains("0.000000000004 PHA is too small"), "{refused}");
		assert!(refused.contains("--bond 0.000000000005 or"), "{refused}");
	}
}
