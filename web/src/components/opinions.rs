//! What each of several detectors says, beside the joint verdict.

use leptos::prelude::*;

use crate::opinions::{self, Answer};
use crate::report::Report;

/// The opinions and the rule by which they make one verdict; nothing of one detector.
pub(crate) fn opinions(report: &Report) -> Option<impl IntoView + use<>> {
    let answers = opinions::answers(report);
    (!answers.is_empty()).then(|| {
        let rows = answers.into_iter().map(row).collect_view();
        view! {
            <table class="opinions">
                <caption>"What each detector says"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Detector"</th>
                        <th scope="col">"Verdict"</th>
                        <th scope="col">"Score"</th>
                        <th scope="col">"Grade"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
            <p class="hint">{opinions::RULE} " " {opinions::MEAN}</p>
        }
    })
}

fn row(answer: Answer) -> impl IntoView {
    let Answer { detector, class, verdict, score, grade } = answer;
    view! {
        <tr>
            <th scope="row">{detector}</th>
            <td class=class>{verdict}</td>
            <td>{score}</td>
            <td>{grade}</td>
        </tr>
    }
}
