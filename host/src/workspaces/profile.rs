//! What the settings and the commerce profile of a workspace may say.

use tributary_core::workspace::{Commerce, Settings};

use super::Error;

const LONGEST_PROMPT: usize = 8_000;
const LONGEST_REFUSAL: usize = 1_000;
const MOST_PASSAGES: u16 = 50;
const MOST_DAYS: u16 = 3_650;
const MOST_VERSIONS: u16 = 1_000;
const LONGEST_URL_BYTES: usize = 2_048;

pub(super) fn check_settings(settings: &Settings) -> Result<(), Error> {
    let longer = |text: &Option<String>, most| text.as_ref().is_some_and(|text| text.chars().count() > most);
    if longer(&settings.system_prompt, LONGEST_PROMPT) {
        return invalid("/settings/system_prompt", format!("a system prompt has at most {LONGEST_PROMPT} characters"));
    }
    if longer(&settings.refusal_text, LONGEST_REFUSAL) {
        return invalid("/settings/refusal_text", format!("a refusal has at most {LONGEST_REFUSAL} characters"));
    }
    if settings.top_k.is_some_and(|top_k| !(1..=MOST_PASSAGES).contains(&top_k)) {
        return invalid("/settings/top_k", format!("top_k is between 1 and {MOST_PASSAGES}"));
    }
    for (pointer, days) in [
        ("/settings/purge_after_days", settings.purge_after_days),
        ("/settings/keep_versions_days", settings.keep_versions_days),
    ] {
        if days.is_some_and(|days| days > MOST_DAYS) {
            return invalid(pointer, format!("this is 0 to {MOST_DAYS} days"));
        }
    }
    if settings.keep_versions.is_some_and(|versions| !(1..=MOST_VERSIONS).contains(&versions)) {
        return invalid(
            "/settings/keep_versions",
            format!("1 to {MOST_VERSIONS} versions are kept, the present one included"),
        );
    }
    match &settings.language {
        Some(tag) if !is_language_tag(tag) => invalid("/settings/language", language_tag(tag)),
        _ => Ok(()),
    }
}

pub(super) fn check_commerce(commerce: &Commerce) -> Result<(), Error> {
    if !is_https(&commerce.store_url) {
        return invalid("/commerce/store_url", "a store URL looks like https://shop.example".to_owned());
    }
    if commerce.currency.as_ref().is_some_and(|code| code.len() != 3 || !code.bytes().all(|it| it.is_ascii_uppercase()))
    {
        return invalid("/commerce/currency", "a currency is three capital letters (ISO 4217), such as EUR".to_owned());
    }
    if let Some(tag) = commerce.locale.as_ref().filter(|tag| !is_language_tag(tag)) {
        return invalid("/commerce/locale", language_tag(tag));
    }
    match &commerce.order_lookup_url {
        Some(url) if !is_https(url) || url.matches("{order}").count() != 1 => {
            let example = "https://shop.example/orders/{order}";
            invalid("/commerce/order_lookup_url", format!("an order look-up looks like {example}, with {{order}} once"))
        }
        _ => Ok(()),
    }
}

fn invalid(pointer: &'static str, message: String) -> Result<(), Error> {
    Err(Error::Invalid { pointer, message })
}

fn language_tag(tag: &str) -> String {
    format!("{tag:?} is no language tag (BCP 47); de or pt-BR are")
}

fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn is_https(url: &str) -> bool {
    let host = url.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    url.len() <= LONGEST_URL_BYTES
        && !url.chars().any(|c| c.is_whitespace() || c.is_control())
        && host.is_some_and(|host| host.contains('.') && !host.contains('@'))
}
