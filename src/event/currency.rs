//! Currencies: minor units, and how a bound on amounts given for one currency applies to others.

use std::fmt;

/// Digits after the decimal point in most currencies.
const DEFAULT_MINOR_DIGITS: u32 = 2;

/// A currency's ISO 4217 code: three ASCII letters, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurrencyCode([u8; 3]);

/// An amount of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Money {
    /// The amount in minor units of the currency, for example cents.
    pub minor: u64,
    /// The currency.
    pub currency: CurrencyCode,
}

impl CurrencyCode {
    /// The currency with this code; `None` if the text is not three capital letters. It need not be
    /// a code that is in use.
    pub fn parse(text: &str) -> Option<CurrencyCode> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.iter()
            .all(u8::is_ascii_uppercase)
            .then_some(CurrencyCode(code))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the letters are ASCII")
    }

    /// The code as it is stored with amounts.
    pub const fn as_bytes(self) -> [u8; 3] {
        self.0
    }

    /// The key under which an amount above the bound is stored: the code in lower case. Only the
    /// number of such events is counted, not their amounts.
    pub fn over_limit_key(self) -> [u8; 3] {
        self.0.map(|letter| letter.to_ascii_lowercase())
    }

    /// The number of digits after the decimal point of an amount (ISO 4217); 2 for currencies that
    /// are not listed.
    pub const fn minor_digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => DEFAULT_MINOR_DIGITS,
        }
    }

    /// Minor units in one unit of the currency, for example 100 cents in a euro.
    pub const fn minor_per_unit(self) -> u32 {
        10_u32.pow(self.minor_digits())
    }
}

/// The number of digits after the decimal point of an amount in a stored currency; 2 for a text
/// that is not a code.
pub fn minor_digits(currency: &str) -> u32 {
    CurrencyCode::parse(currency).map_or(DEFAULT_MINOR_DIGITS, CurrencyCode::minor_digits)
}

impl Money {
    /// `units` of a currency, for example euros, rounded to minor units. Saturates instead of
    /// overflowing; negative amounts are 0.
    pub fn from_units(units: f64, currency: CurrencyCode) -> Money {
        let minor = (units * f64::from(currency.minor_per_unit())).round();
        Money {
            minor: minor as u64,
            currency,
        }
    }

    /// The maximum amount of one event, inclusive, for a site's bound of `euros`. Saturates instead
    /// of overflowing.
    pub fn max_of_event(euros: u32, currency: CurrencyCode) -> Money {
        let units = u64::from(euros).saturating_mul(units_per_euro(currency));
        Money {
            minor: units.saturating_mul(u64::from(currency.minor_per_unit())),
            currency,
        }
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Units of a currency that are worth roughly one euro, as a power of ten. A bound of 10 000 is
/// meant for euros, but would be the price of a shirt in rupiah. Deliberately rough, so that
/// exchange rates need no updates.
fn units_per_euro(currency: CurrencyCode) -> u64 {
    match &currency.0 {
        b"CZK" | b"MXN" | b"THB" | b"TWD" | b"ZAR" => 10,
        b"AMD" | b"BDT" | b"DJF" | b"DOP" | b"DZD" | b"EGP" | b"HUF" | b"INR" | b"ISK" | b"JMD"
        | b"JPY" | b"KES" | b"KMF" | b"KZT" | b"LKR" | b"NPR" | b"PHP" | b"PKR" | b"RSD"
        | b"RUB" | b"TRY" | b"UAH" | b"UYU" | b"VES" | b"VUV" | b"XPF" | b"YER" => 100,
        b"AOA" | b"ARS" | b"BIF" | b"CDF" | b"CLP" | b"COP" | b"CRC" | b"IQD" | b"KHR" | b"KRW"
        | b"MGA" | b"MMK" | b"MNT" | b"MWK" | b"NGN" | b"RWF" | b"SOS" | b"SSP" | b"TZS"
        | b"UGX" | b"XAF" | b"XOF" => 1_000,
        b"GNF" | b"IDR" | b"LAK" | b"PYG" | b"SYP" | b"UZS" | b"VND" => 10_000,
        b"IRR" | b"LBP" => 100_000,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> CurrencyCode {
        CurrencyCode::parse(text).unwrap()
    }

    #[test]
    fn a_bound_is_in_units_that_are_worth_about_the_same() {
        for (currency, minor) in [
            ("EUR", 1_000_000),
            ("USD", 1_000_000),
            ("JPY", 1_000_000),
            ("IDR", 10_000_000_000),
            ("KWD", 10_000_000),
            ("XXX", 1_000_000),
        ] {
            let bound = Money::max_of_event(10_000, code(currency));
            assert_eq!(bound.minor, minor, "{currency}");
        }
        let most = Money::max_of_event(u32::MAX, code("IRR"));
        assert_eq!(most.minor, 42_949_672_950_000_000);
    }

    #[test]
    fn a_code_is_three_capital_letters() {
        assert_eq!(code("EUR").as_str(), "EUR");
        assert_eq!(code("EUR").over_limit_key(), *b"eur");
        for text in ["", "EU", "EURO", "eur", "E1R", "€"] {
            assert_eq!(CurrencyCode::parse(text), None, "{text}");
        }
    }
}
