//! What is said where something did not come to its end, by the code of the error and not by its English.

use crate::api::Problem;

/// A few words in place of a verdict, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) headline: &'static str,
    pub(crate) advice: &'static str,
}

/// The words for a problem; general ones for a code that this page does not know.
pub(crate) fn of(problem: &Problem) -> Trouble {
    let (headline, advice) = match problem.code.as_str() {
        "empty" => ("The file is empty", "Download or copy it again."),
        "not_media" => (
            "Neither a video nor a picture",
            "Give the file itself: not a link to it, a playlist, a document or an archive.",
        ),
        "unsupported_container" | "unsupported_image" | "unsupported_codec" => (
            "This browser cannot read it",
            "Try another browser first. Converting the file works too, but compresses it once more, which wipes out traces.",
        ),
        "no_video" => ("There is no picture in it", "Give a file with pictures; sound alone is not examined."),
        "no_frames" | "damaged" => {
            ("The file is damaged", "Get it again from where it came, if possible the first upload of it.")
        }
        "too_large" => ("The picture is too large", "Scale it down and give it again."),
        "unreadable" => (
            "The file can no longer be read",
            "It may have been moved, changed or removed since it was chosen. Choose it again.",
        ),
        "bad_detector" | "base_needed" | "wrong_base" | "wrong_sha256" => (
            "The detector cannot be used",
            "Choose another one in the settings, or go back to the one that comes with this page.",
        ),
        "network" | "bad_response" => (
            "The detector could not be fetched",
            "Check the connection, and the address in the settings. The detector that comes with this page needs neither \
             after the first visit.",
        ),
        "missing_files" => (
            "Parts of this page are missing or damaged",
            "Load the page again. If that does not help, tell whoever serves it.",
        ),
        "no_webgpu" => {
            ("The graphics device cannot be used", "Choose the processor in the settings, or let the page choose.")
        }
        "stopped" => (
            "The examination broke off",
            "Examine it again, with other pages closed. If it breaks off again, the file is more than this browser can take.",
        ),
        "bad_score" => (
            "The detector gave no usable score",
            "Nothing can be concluded from it. Choose another detector in the settings.",
        ),
        "wrong_use" => ("The settings have to be changed", "Open the settings below and change what it says."),
        _ => ("Could not be examined", "Examine it again. If that does not help, try another browser."),
    };
    Trouble { headline, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headline(code: &str) -> &'static str {
        of(&Problem { code: code.to_owned(), message: "a sentence".to_owned() }).headline
    }

    #[test]
    fn a_damaged_file_a_browser_that_lacks_something_and_a_detector_are_told_apart() {
        let headlines = ["damaged", "unsupported_codec", "bad_detector", "network"].map(headline);
        for (index, one) in headlines.iter().enumerate() {
            assert!(!headlines[..index].contains(one), "{one}");
        }
    }

    #[test]
    fn a_code_that_is_not_known_has_words_as_well() {
        assert_eq!(headline("something_new"), "Could not be examined");
    }
}
