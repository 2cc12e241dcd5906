//! How to read an answer, and what the detector cannot know.

use leptos::prelude::*;

/// Each limit with what it means for the reader.
const LIMITS: [(&str, &str); 8] = [
    (
        "New kinds of manipulation",
        "It recognises the traces that it was trained on and those that look alike. A method that it has never seen may leave \
         none, and gets a low score.",
    ),
    (
        "Compression",
        "Messengers and social media compress hard and wipe out traces, of manipulation and of cameras alike. Use the first \
         upload, not a copy of a copy.",
    ),
    (
        "Size of the face",
        "A face of a few dozen pixels, blurred, turned away or seen briefly shows too little. Where that is measurably so the \
         answer is that it cannot tell.",
    ),
    (
        "Artwork, masks, filters",
        "Drawings, animation, make-up, beauty filters and masks are neither of what it knows. They get arbitrary scores.",
    ),
    (
        "Sound",
        "It does not listen. A real picture with a cloned voice looks real to it, and lips are not compared with speech.",
    ),
    (
        "Context",
        "It does not know who is shown, when, where, or what is claimed. Many misleading videos are real ones under a wrong \
         caption.",
    ),
    (
        "Everything beside the face",
        "Backgrounds, hands, objects and text may be generated or changed without its noticing.",
    ),
    (
        "People it has seen too few of",
        "Mistakes are likelier for faces unlike those it was trained on. unmask-lite learnt mostly from short phone videos of \
         adults who acted for it, and was measured on too few people of any group to say that it treats all alike. Smooth, \
         enlarged and strongly compressed faces look like fakes to it.",
    ),
];

/// The help, which opens when a link leads to it.
#[component]
pub(crate) fn Help() -> impl IntoView {
    let limits = LIMITS.map(|(name, text)| view! { <div><dt>{name}</dt><dd>{text}</dd></div> }).collect_view();
    view! {
        <details class="drawer help" id="help">
            <summary>
                <span class="drawer-title">"How to read the answer"</span>
                <span class="drawer-note">"and what the detector cannot know"</span>
            </summary>
            <div class="prose">
                <h3>"The score"</h3>
                <p>
                    "The score runs from 0, real, to 1, manipulated. It is what the detector believes, frame by frame and then on
                    average, and not the share of cases in which it is right. \u{201c}Probably manipulated\u{201d} and \u{201c}No sign
                    of manipulation\u{201d} are said beyond two thresholds that belong to each detector; between them, the answer is
                    \u{201c}Cannot tell\u{201d}. With several people in the picture, the highest score of a face that can be judged counts,
                    since one manipulated person makes a manipulated video."
                </p>
                <h3>"The detector beside the score"</h3>
                <p>
                    "A detector is as good as its training, and its file says what its answers are worth. Scores of weak,
                    uncalibrated and untrained detectors are called that wherever they stand, and the sentence below the figure
                    says why. For real work choose a stronger one than that in the settings."
                </p>
                <h3>"What weakens an answer"</h3>
                <p>
                    "Where something about the file makes the answer less certain, such as damage that was passed over, a very dark face,
                    or other people who were not scored, that is listed below the reasons and stands in the report."
                </p>
                <h3>"What it cannot know"</h3>
                <dl class="limits">{limits}</dl>
                <h3>"Before you publish or accuse"</h3>
                <p>
                    "Find the first upload. Compare other footage of the same scene. Ask the people who are shown, and somebody who
                    was there. Have somebody else look at the frames. Keep the report with the file, so that others can repeat it."
                </p>
            </div>
        </details>
    }
}
