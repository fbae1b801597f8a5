//! What rows say about claims: which values they let in, and how a subject is written from them.
//!
//! A claim is named by its name, or, if it is within another, by a JSON pointer (RFC 6901), such as
//! `/kubernetes.io/namespace`.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Echo;
use crate::policy::PatternList;

/// The claims of a proof.
pub type Claims = Map<String, Value>;

/// The longest claim that is looked at, in bytes: it ends in names, rows and lines of the trail.
const MAX_CLAIM_LEN: usize = 512;

/// The claim of that name, or at that pointer.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    match name.strip_prefix('/') {
        None => claims.get(name),
        Some(pointer) => {
            let mut steps = pointer
                .split('/')
                .map(|step| step.replace("~1", "/").replace("~0", "~"));
            let mut value = claims.get(&steps.next()?)?;
            for step in steps {
                value = value.as_object()?.get(&step)?;
            }
            Some(value)
        }
    }
}

/// A claim as text: a string, a whole number or a truth. Nothing else has one text alone.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    let is_shown = |c: char| {
        !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    (!text.is_empty() && text.len() <= MAX_CLAIM_LEN && text.chars().all(is_shown)).then_some(text)
}

/// A rule: what some claims have to be, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule(Vec<(String, PatternList)>);

impl Rule {
    /// Reads `{claim: pattern or list of patterns, …}`.
    ///
    /// # Errors
    /// A sentence about the first member that is no such thing.
    pub fn read(rule: &Map<String, Value>) -> Result<Self, String> {
        let mut wanted = Vec::with_capacity(rule.len());
        for (claim, patterns) in rule {
            let patterns = match patterns {
                Value::Array(patterns) => patterns.iter().map(text).collect::<Option<Vec<_>>>(),
                one => text(one).map(|pattern| vec![pattern]),
            };
            let patterns = patterns.filter(|patterns| !patterns.is_empty());
            let patterns = patterns.ok_or_else(|| {
                format!(
                    "{} must be a text such as \"main\" or \"release/*\", or a list of them",
                    Echo::new(claim)
                )
            })?;
            wanted.push((claim.clone(), PatternList::of(patterns)));
        }
        Ok(Self(wanted))
    }

    /// A name that other rules don't have.
    #[must_use]
    pub fn name(&self) -> String {
        let digest = Sha256::digest(format!("{:?}", self.0));
        hex::encode(digest.get(..8).unwrap_or_default())
    }

    /// Whether it says what a claim has to be: exactly, for others' ids begin alike; or, of a subject that is a path
    /// (`is_path`), down to whatever is below.
    #[must_use]
    pub fn pins(&self, claim: &str, is_path: bool) -> bool {
        let says = |patterns: &PatternList| match claim {
            "sub" if is_path => patterns.are_prefixes(),
            _ => patterns.is_exact(),
        };
        self.0
            .iter()
            .any(|(name, patterns)| name == claim && says(patterns))
    }

    /// Whether it says what a claim has to be.
    #[must_use]
    pub fn looks_at(&self, claim: &str) -> bool {
        self.0.iter().any(|(name, _)| name == claim)
    }

    /// The first claim that isn't as it has to be; nothing if all are. Of a claim that is a list one entry will
    /// do, as with groups.
    #[must_use]
    pub fn first_mismatch(&self, claims: &Claims) -> Option<&str> {
        let matches = |(claim, patterns): &&(String, PatternList)| {
            let is_wanted = |value: &Value| text(value).is_some_and(|text| patterns.matches(&text));
            match find(claims, claim) {
                Some(Value::Array(values)) => values.iter().any(is_wanted),
                Some(value) => is_wanted(value),
                None => false,
            }
        };
        let mismatch = self.0.iter().find(|wanted| !matches(wanted));
        mismatch.map(|(claim, _)| claim.as_str())
    }
}

/// How a subject is written: text with claims in braces, such as `project:{project_id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Claim(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn read(template: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            let (claim, after) = after.split_once('}').ok_or("has a { without }")?;
            if claim.is_empty() || claim.contains('{') {
                return Err("has a { without the name of a claim");
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            } else if matches!(parts.last(), Some(Part::Claim(_))) {
                return Err("has two claims with nothing between them");
            }
            parts.push(Part::Claim(claim.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err("has a } without {");
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if !parts.iter().any(|part| matches!(part, Part::Claim(_))) {
            return Err("has no claim in it, so everybody would be the same");
        }
        Ok(Self(parts))
    }

    /// Writes the text for these claims.
    ///
    /// A value must not hold what comes after it in the template, or two different subjects could be written
    /// alike.
    ///
    /// # Errors
    /// The claim that is missing, is no text, or can't stand where it would.
    pub fn write(&self, claims: &Claims) -> Result<String, &str> {
        let mut out = String::new();
        let claims_in_it = self.0.iter().filter(|part| matches!(part, Part::Claim(_)));
        let is_alone = claims_in_it.count() == 1;
        let mut parts = self.0.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Claim(claim) => {
                    let value = find(claims, claim).and_then(text).ok_or(claim.as_str())?;
                    if let (false, Some(Part::Text(after))) = (is_alone, parts.peek()) {
                        // Also not at the seam: "a-" before "--" reads like "a" before "---".
                        let ends_at = format!("{value}{after}").find(after.as_str());
                        if ends_at != Some(value.len()) {
                            return Err(claim);
                        }
                    }
                    out.push_str(&value);
                }
            }
        }
        if out.len() > MAX_CLAIM_LEN {
            return Err("sub");
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        let claims = json!({
            "sub": "system:serviceaccount:prod:web",
            "repository_owner_id": 7,
            "groups": ["dev", "ops"],
            "email_verified": true,
            "ref": "refs/heads/main",
            "empty": "",
            "nested": { "a": "x" },
            "hidden": "a\u{202e}b",
            "kubernetes.io": { "namespace": "prod", "serviceaccount": { "name": "web" } },
            "https://x/y": "slash",
        });
        claims.as_object().unwrap().clone()
    }

    fn mismatch(rule: Value) -> Option<String> {
        let rule = Rule::read(rule.as_object().unwrap()).unwrap();
        rule.first_mismatch(&claims()).map(str::to_owned)
    }

    #[test]
    fn all_claims_of_a_rule_must_match() {
        for rule in [
            json!({}),
            json!({ "repository_owner_id": "7" }),
            json!({ "repository_owner_id": 7, "ref": "refs/heads/*" }),
            json!({ "ref": ["refs/tags/*", "refs/heads/main"] }),
            json!({ "groups": "ops" }),
            json!({ "groups": ["a", "dev"] }),
            json!({ "email_verified": true }),
            json!({ "/kubernetes.io/namespace": "prod", "/kubernetes.io/serviceaccount/name": "w*" }),
            json!({ "https://x/y": "slash", "/https:~1~1x~1y": "slash" }),
        ] {
            assert_eq!(mismatch(rule.clone()), None, "{rule}");
        }
        for (rule, claim) in [
            (
                json!({ "repository_owner_id": "70" }),
                "repository_owner_id",
            ),
            (json!({ "ref": "refs/heads/*", "sub": "x" }), "sub"),
            (json!({ "ref": "refs/heads" }), "ref"),
            (json!({ "ref": "REFS/HEADS/MAIN" }), "ref"),
            (json!({ "groups": "admins" }), "groups"),
            (json!({ "missing": "*" }), "missing"),
            // What is no text, or none that can be shown, matches nothing, not even everything.
            (json!({ "nested": "*" }), "nested"),
            (json!({ "empty": "*" }), "empty"),
            (json!({ "hidden": "*" }), "hidden"),
            (json!({ "/kubernetes.io": "*" }), "/kubernetes.io"),
            (
                json!({ "/kubernetes.io/namespace/x": "*" }),
                "/kubernetes.io/namespace/x",
            ),
            (
                json!({ "kubernetes.io/namespace": "prod" }),
                "kubernetes.io/namespace",
            ),
        ] {
            assert_eq!(mismatch(rule.clone()).as_deref(), Some(claim), "{rule}");
        }
    }

    #[test]
    fn rules_are_texts_or_lists_of_them() {
        for rule in [
            json!({ "a": {} }),
            json!({ "a": null }),
            json!({ "a": [] }),
            json!({ "a": "" }),
            json!({ "a": 1.5 }),
            json!({ "a": ["x", []] }),
        ] {
            assert!(Rule::read(rule.as_object().unwrap()).is_err(), "{rule}");
        }
    }

    fn written(template: &str) -> Result<String, String> {
        let template = Template::read(template).unwrap();
        template.write(&claims()).map_err(str::to_owned)
    }

    #[test]
    fn subjects_are_written_from_claims() {
        for (template, subject) in [
            ("{sub}", "system:serviceaccount:prod:web"),
            ("owner:{repository_owner_id}", "owner:7"),
            (
                "{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}",
                "prod/web",
            ),
            ("{sub}!", "system:serviceaccount:prod:web!"),
        ] {
            assert_eq!(written(template).as_deref(), Ok(subject), "{template}");
        }
        for (template, claim) in [
            ("{missing}", "missing"),
            ("{empty}", "empty"),
            ("{nested}", "nested"),
            ("{groups}", "groups"),
            ("{hidden}", "hidden"),
            // sub has colons: with one after it, another sub and ref could be written alike.
            ("{sub}:{ref}", "sub"),
        ] {
            assert_eq!(written(template), Err(claim.to_owned()), "{template}");
        }
    }

    #[test]
    fn two_subjects_are_never_written_alike() {
        let template = Template::read("{a}:{b}").unwrap();
        let write = |a: &str, b: &str| {
            let claims = json!({ "a": a, "b": b });
            template.write(claims.as_object().unwrap()).ok()
        };
        assert_eq!(write("x", "y:z").as_deref(), Some("x:y:z"));
        assert_eq!(write("x:y", "z"), None);
        let template = Template::read("{a}--{b}").unwrap();
        let claims = json!({ "a": "x-", "b": "y" });
        assert_eq!(template.write(claims.as_object().unwrap()), Err("a"));
    }

    #[test]
    fn templates_name_at_least_one_claim_and_keep_them_apart() {
        for template in [
            "", "x", "{", "{}", "}", "{a", "a}", "{a{b}}", "{a}{b}", "{{a}}",
        ] {
            assert!(Template::read(template).is_err(), "{template}");
        }
    }
}
