//! Currencies: minor units, and how a bound on amounts given for one currency applies to others.

/// The number of digits after the decimal point of an amount in a currency (ISO 4217); 2 for
/// currencies that are not listed. `currency` is the code in upper case.
pub fn minor_digits(currency: &[u8]) -> u32 {
    match currency {
        b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
        | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
        b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
        _ => 2,
    }
}

/// Units of a currency that are worth roughly one euro, as a power of ten. A bound of 10 000 is
/// meant for euros, but would be the price of a shirt in rupiah. Deliberately rough, so that
/// exchange rates need no updates.
fn units_per_euro(currency: &[u8]) -> u64 {
    match currency {
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

/// The maximum amount of one event, inclusive, in minor units of `currency`, for a site's bound of
/// `most` euros. Saturates instead of overflowing.
pub fn max_minor_units(most: u32, currency: &[u8]) -> u64 {
    let minor = u64::from(most).saturating_mul(units_per_euro(currency));
    minor.saturating_mul(u64::from(10_u32.pow(minor_digits(currency))))
}

/// The key under which an amount above the bound is stored: the currency in lower case. Only the
/// number of such events is counted, not their amounts.
pub fn over_limit_code(currency: [u8; 3]) -> [u8; 3] {
    currency.map(|letter| letter.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_in_units_that_are_worth_about_the_same() {
        for (currency, minor) in [
            (b"EUR", 1_000_000),
            (b"USD", 1_000_000),
            (b"JPY", 1_000_000),
            (b"IDR", 10_000_000_000),
            (b"KWD", 10_000_000),
            (b"XXX", 1_000_000),
        ] {
            assert_eq!(
                max_minor_units(10_000, currency),
                minor,
                "{}",
                String::from_utf8_lossy(currency)
            );
        }
        assert_eq!(max_minor_units(u32::MAX, b"IRR"), 42_949_672_950_000_000);
    }
}
