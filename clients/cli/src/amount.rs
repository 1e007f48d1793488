//! Amounts of PHA as people write them.

use phala_protocol::Balance;

/// 10^12 of the smallest unit are one PHA.
pub const DECIMALS: usize = 12;

/// One PHA in its smallest unit.
pub const PHA: Balance = 1_000_000_000_000;

/// `1.5 PHA`, without trailing zeros.
pub fn pha(amount: Balance) -> String {
	let (whole, rest) = (amount / PHA, amount % PHA);
	if rest == 0 {
		return format!("{whole} PHA");
	}
	let rest = format!("{rest:0DECIMALS$}");
	format!("{whole}.{} PHA", rest.trim_end_matches('0'))
}

/// `1.5`, `1.5PHA` or `1.5 PHA` in the smallest unit.
///
/// # Errors
/// What would be an amount.
pub fn parse(text: &str) -> Result<Balance, String> {
	let refused =
		|| format!("{text:?} is no amount: PHA as in 12 or 0.25, with at most {DECIMALS} decimals");
	let number = text.trim();
	let number = number.strip_suffix("PHA").unwrap_or(number).trim_end();
	let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
	let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
	if !is_digits(whole) || !is_digits(rest) || number.len() < 2 && !is_digits(number) {
		return Err(refused());
	}
	if number.is_empty() || number == "." || rest.len() > DECIMALS {
		return Err(refused());
	}
	let whole = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| refused())? };
	let rest = format!("{rest:0<DECIMALS$}").parse::<Balance>().map_err(|_| refused())?;
	Balance::checked_mul(whole, PHA).and_then(|whole| whole.checked_add(rest)).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn amounts_are_written_as_they_are_read() {
		for (text, amount) in [
			("0 PHA", 0),
			("1 PHA", PHA),
			("1.5 PHA", PHA * 3 / 2),
			("0.000000000001 PHA", 1),
			("1000000000 PHA", 1_000_000_000 * PHA),
		] {
			assert_eq!(pha(amount), text);
			assert_eq!(parse(text), Ok(amount));
		}
		assert_eq!(parse(".5"), Ok(PHA / 2));
		assert_eq!(parse("3."), Ok(3 * PHA));
	}

	#[test]
	fn what_is_no_amount_is_refused() {
		for text in
			["", ".", "-1", "1e3", "1,5", "0.0000000000001", "1 pha", "9".repeat(40).as_str()]
		{
			assert!(parse(text).is_err(), "{text}");
		}
	}
}
