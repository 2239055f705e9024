//! The syntax of a region. Every region is checked, because it becomes part of the host that gets
//! the credentials.

/// Returns whether a text is a region's name such as `eu-west-1`: lower-case words, and a number at the end.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (Some((number, words)), Some(first)) = (parts.split_last(), parts.first()) else {
        return false;
    };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    (2..=4).contains(&words.len())
        && words.iter().all(is_word)
        && (2..=8).contains(&first.len())
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_every_partition_are_regions() {
        for region in
            ["eu-west-1", "us-gov-east-1", "cn-north-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-10"]
        {
            assert!(is_region(region), "{region}");
        }
    }

    #[test]
    fn nothing_that_would_change_a_host_is_a_region() {
        let others = [
            "",
            "-",
            "eu-west",
            "eu-west-",
            "eu-west-1a",
            "eu-west-111",
            "EU-WEST-1",
            "e-west-1",
            "eu--1",
            "west-1",
            "eu-west-1.evil.test",
            "evil.test/#",
            "eu-west-1/",
            "eu-west-1\n",
            " eu-west-1",
            "a@eu-west-1",
            "eu-wést-1",
            "us-east-1:80",
            "aws-global",
            "eu-a-b-c-d-1",
        ];
        for other in others {
            assert!(!is_region(other), "{other:?}");
        }
    }
}
