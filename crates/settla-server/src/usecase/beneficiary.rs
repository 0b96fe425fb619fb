//! Beneficiaries and payout accounts, checked as a bank would.

use crate::parties::Parties;
use settla_domain::bank_id::{
    BankIdError, check_nuban, parse_bic, parse_country, parse_domestic_account, parse_domestic_bank_code, parse_iban,
    parse_sort_code, parse_uk_account,
};
use settla_domain::beneficiary::MaskedBeneficiary;
use settla_domain::money::Currency;
use settla_port::error::PortError;
use settla_port::transfer::{Beneficiary, BeneficiaryAccount, Sender};
use settla_port::treasury::PayoutAccount;
use settla_vault::{Pii, PiiAccount, PiiName};

const WHY: &str = "checking its form";

/// An account that has been checked: its number, its bank, its country.
struct Checked {
    number: String,
    bank: Option<String>,
}

fn invalid(field: &'static str, error: BankIdError) -> PortError {
    PortError::Invalid { field, code: "account_not_valid", message: error.to_string() }
}

fn account(account: &BeneficiaryAccount, country: &str) -> Result<Checked, PortError> {
    const NUMBER: &str = "beneficiary/account/account_number";
    const BANK: &str = "beneficiary/account/bank_code";
    let scheme_fits = match account {
        BeneficiaryAccount::Nuban { .. } => country == "NG",
        BeneficiaryAccount::UkAccount { .. } => country == "GB",
        BeneficiaryAccount::Local { .. } => matches!(country, "KE" | "GH"),
        BeneficiaryAccount::Iban { .. } => !matches!(country, "NG" | "KE" | "GH"),
    };
    if !scheme_fits {
        let message = "this account type is not used in the beneficiary's country".to_owned();
        return Err(PortError::Invalid { field: "beneficiary/account/type", code: "account_type_not_used", message });
    }
    match account {
        BeneficiaryAccount::Nuban { bank_code, account_number } => {
            let (bank, number) = (bank_code.reveal_pii(WHY), account_number.reveal_pii(WHY));
            check_nuban(bank, number).map_err(|e| invalid(NUMBER, e))?;
            Ok(Checked { number: number.clone(), bank: Some(bank.clone()) })
        }
        BeneficiaryAccount::UkAccount { sort_code, account_number } => {
            let bank =
                parse_sort_code(sort_code.reveal_pii(WHY)).map_err(|e| invalid("beneficiary/account/sort_code", e))?;
            let number = parse_uk_account(account_number.reveal_pii(WHY)).map_err(|e| invalid(NUMBER, e))?;
            Ok(Checked { number, bank: Some(bank) })
        }
        BeneficiaryAccount::Iban { iban, bic } => {
            let number = parse_iban(iban.reveal_pii(WHY)).map_err(|e| invalid("beneficiary/account/iban", e))?;
            if !number.starts_with(country) {
                let message = "the IBAN is of another country".to_owned();
                return Err(PortError::Invalid { field: "beneficiary/account/iban", code: "country_differs", message });
            }
            let bank = bic
                .as_ref()
                .map(|b| parse_bic(b.reveal_pii(WHY)).map_err(|e| invalid("beneficiary/account/bic", e)))
                .transpose()?;
            Ok(Checked { number, bank })
        }
        BeneficiaryAccount::Local { bank_code, account_number } => {
            let bank = parse_domestic_bank_code(bank_code.reveal_pii(WHY)).map_err(|e| invalid(BANK, e))?;
            let number = parse_domestic_account(account_number.reveal_pii(WHY)).map_err(|e| invalid(NUMBER, e))?;
            Ok(Checked { number, bank: Some(bank) })
        }
    }
}

/// Checks a name: 1 to 140 characters, none of them a control character.
fn name(name: &PiiName, field: &'static str) -> Result<PiiName, PortError> {
    let text = name.reveal_pii(WHY).trim();
    let fits = !text.is_empty() && text.chars().count() <= 140 && !text.chars().any(char::is_control);
    if fits {
        Ok(PiiName::new(text.to_owned()))
    } else {
        let message = "a name of 1 to 140 characters".to_owned();
        Err(PortError::Invalid { field, code: "name_not_valid", message })
    }
}

/// Checks both parties of a transfer; returns them in canonical form, and the beneficiary masked.
pub(super) fn check(sender: &Sender, beneficiary: &Beneficiary) -> Result<(Parties, MaskedBeneficiary), PortError> {
    let country = parse_country(&beneficiary.country).map_err(|e| PortError::Invalid {
        field: "beneficiary/country",
        code: "country_not_valid",
        message: e.to_string(),
    })?;
    let checked = account(&beneficiary.account, country)?;
    let sender_account = sender.account.as_ref().map(sender_account).transpose()?;
    let recipient_name = name(&beneficiary.name, "beneficiary/name")?;
    let recipient_account = PiiAccount::new(checked.number);
    let masked = MaskedBeneficiary {
        name: recipient_name.to_string(),
        account: recipient_account.to_string(),
        country: country.to_owned(),
    };
    let parties = Parties {
        sender_name: Some(name(&sender.name, "sender/name")?),
        sender_account,
        recipient_name,
        recipient_account,
        recipient_bank: checked.bank.map(Pii::new),
    };
    Ok((parties, masked))
}

/// The sender's account is kept as given, but bounded: 4 to 34 letters and digits (an IBAN is checked).
fn sender_account(account: &PiiAccount) -> Result<PiiAccount, PortError> {
    let text: String = account.reveal_pii(WHY).chars().filter(|c| *c != ' ' && *c != '-').collect();
    let shape = (4..=34).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_iban = text.len() > 4 && text.as_bytes()[..2].iter().all(u8::is_ascii_alphabetic);
    if !shape || (is_iban && parse_iban(&text).is_err()) {
        let message = "an account number or IBAN of 4 to 34 letters and digits".to_owned();
        return Err(PortError::Invalid { field: "sender/account", code: "account_not_valid", message });
    }
    Ok(PiiAccount::new(text))
}

/// Checks the account of a withdrawal; returns the payee in canonical form, and the account masked.
pub(super) fn check_payout(currency: Currency, payee: &PayoutAccount) -> Result<(Parties, String), PortError> {
    if matches!(payee, PayoutAccount::UkAccount { .. }) && currency != Currency::GBP {
        let message = "a sort code and account number take GBP only; give an IBAN".to_owned();
        return Err(PortError::Invalid { field: "account/type", code: "account_type_not_used", message });
    }
    let (holder, number, bank) = match payee {
        PayoutAccount::UkAccount { name, sort_code, account_number } => {
            let bank = parse_sort_code(sort_code.reveal_pii(WHY)).map_err(|e| invalid("account/sort_code", e))?;
            let number =
                parse_uk_account(account_number.reveal_pii(WHY)).map_err(|e| invalid("account/account_number", e))?;
            (name, number, Some(bank))
        }
        PayoutAccount::Iban { name, iban } => {
            (name, parse_iban(iban.reveal_pii(WHY)).map_err(|e| invalid("account/iban", e))?, None)
        }
    };
    let recipient_account = PiiAccount::new(number);
    let masked = recipient_account.to_string();
    let parties = Parties {
        sender_name: None,
        sender_account: None,
        recipient_name: name(holder, "account/name")?,
        recipient_account,
        recipient_bank: bank.map(Pii::new),
    };
    Ok((parties, masked))
}
