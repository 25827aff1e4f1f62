"""The sentences of edgead's notices, by their codes; ``edgead.notices.say`` fills in the values."""

from __future__ import annotations

SENTENCES: dict[str, str] = {
    "dataset-part": "{folder} is a part of a data set in the layout {layout}: the {images:#training image} "
    "in it {images:is|are} learned, the other {others:#image} {others:is|are} not",
    "dataset-train": "{folder} is a data set in the layout {layout}: its {images:#training image} "
    "{images:is|are} learned, the other {others:#image} in it {others:is|are} not",
    "copies-across": "{images:#image} in different groups look like near copies ({names}): check that "
    "--group {by} tells parts apart, for a part that is learned and held out makes the threshold too low",
    "in-windows": "frames are judged in windows of {height} x {width} pixels that overlap, {margin} pixels "
    "from their edges belonging to a neighbour",
    "in-scaled-windows": "frames are shrunk by {scale:g} and judged in windows of {height} x {width} pixels "
    "that overlap, {margin} pixels from their edges belonging to a neighbour",
    "windows-learned": "{images:#image} {images:is|are} cut into {windows} windows of {height} x {width}, "
    "{learned} of which are learned; all are judged",
    "edges-unmeasured": "how far a window's edge reaches couldn't be measured, for no image is larger than a "
    "window by {least} pixels: {margin} are assumed; give smaller windows, --size, or leave windows out",
    "edges-reach-far": "a map's values change by up to {change:.0%} of the highest of good images with where "
    "a window lies, {margin} pixels from its edge, which is as far as windows overlap ({wanted:.0%} is "
    "wanted): verdicts near the threshold may depend on it; give larger windows, --size",
    "few-held-out": "only {parts:#held-out part} {parts:judges|judge} this model, and threshold and gates "
    "say little with fewer than {wanted}; give more images, or a larger --holdout",
    "flat-scores": "all {images:#held-out image} score the same, {score}, so the threshold says nothing of "
    "other parts; give images of more parts that differ as the line's do",
    "hardly-differ": "two of the good images usually differ by {levels} grey levels only: if they show one "
    "part, the threshold holds for that one alone; add images of other parts",
    "held-out-stands-out": "the threshold hangs on held-out images that score far over the others: {names}, "
    "next {next}; look at them, and leave them out if they aren't good",
    "near-copies": "{images:#image} show about {parts} different parts ({names}): near copies are held out "
    "together and count once; images of more parts are worth more than more images of these; where the line "
    "shows these parts again, --group none counts each image",
    "copies-apart": "{images:#image} show about {parts} different parts and each counts as a part of its "
    "own, as asked for: that suits a line that shows these parts again, and new parts are flagged more often "
    "than is stated",
    "one-held-out": "the threshold {score} rests on one held-out image, {image}; give more images, or a "
    "larger --holdout",
    "one-part": "all {images:#image} look like near copies of one another, so no false-positive rate can be "
    "stated; add images of different parts, or say with --group which images show which part",
    "depth-unsaid": "the 16-bit images use at most {bits} of their 16 bits: give --depth {likely} if the "
    "camera gives so many, or --depth 16 if they really are that dark",
    "learns-test-images": "{images:#image} in {folder} {images:is a test image|are test images} of the data "
    "set {data} (layout {layout}), and figures measured on {images:it|these} will look better than they "
    "are; give {data}, whose training images are learned",
    "learns-all-good": "{images:#image} in {folder} {images:is a good one|are the good ones} of the data "
    "set {data} (layout {layout}), and figures measured on {images:it|these} will look better than they "
    "are; measure on others",
    "learns-beside-good": "{images:#image} in {folder} {images:is|are} learned as good, and "
    "{images:lies|lie} beside a folder of good images as defective ones do in a data set (layout {layout}): "
    "if {images:it is|they are} defective, leave {images:it|them} out",
    "depth-contradicted": "most of the 16-bit images use at most {bits} of their 16 bits, but {over} of "
    "{images} hold values up to {largest} ({names}), hot pixels perhaps: give --depth {likely} and mend or "
    "leave those out if the camera gives so many bits, or --depth 16 if the others really are that dark",
    "left-out-files": "{files:#file} in {folder} {files:looks like an image of a kind that is|look like "
    "images of kinds that are} not read ({kinds}: {names}); convert {files:it|them} to PNG or move "
    "{files:it|them} out",
    "left-out-videos": "{files:#video} in {folder} {files:is|are} not looked at ({names}): to judge one, "
    "give `edgead run` its file; to learn from one, save its frames as images",
    "left-out-subfolders": "{images:#image} in subfolders of {folder} {images:is|are} not used ({names}); "
    "give those folders too, or move the {images:image|images} up",
    "odd-colour": "{images} of {total:#image} {images:is|are} {kind} and the others {rest}: {names}; check "
    "that they come from the same camera and settings",
    "odd-depth": "{images} of {total:#image} {images:has|have} {bits} bits and the others {rest}: {names}; "
    "check that they come from the same camera and settings",
    "odd-size": "{images} of {total:#image} {images:is|are} of another size than {rest} (height x width): "
    "{names}; check that they show the same view",
    "plugin": "{text}",
    "layout": "{text}",
    "no-train": "no training images, only test images",
    "masks-beside": "{count:#mask} among the test images in {folder} {count:is no image and is taken as its "
    "mask|are no images and are taken as their masks}: {example} for {image}; move {count:it|them} to "
    "ground_truth if that isn't so",
    "judges-train-images": "{images} of these images {images:is a training image|are training images} of "
    "the data set {folder} (layout {layout}), which models learn from, so figures on {images:it|them} say "
    "nothing of other images: give {folder}, whose test images are judged",
    "no-masks": "no masks, so pixel metrics will be undefined",
    "some-unmasked": "{count} of {total:#defective image} {count:has|have} no mask, {example} for one, so "
    "pixel metrics will be undefined",
    "masks-above": "the folder above, {folder}, is a data set in the layout {layout} and has masks for these "
    "images: give {folder}",
    "no-defective": "no defective test images, so AUROC will be undefined",
    "no-good": "no good test images, so AUROC will be undefined",
    "roi-inside": "{share:.2%} of a frame, drawn on {height} x {width} pixels (height x width); the rest is "
    "painted in {fill} and isn't judged",
    "roi-all": "everything lies inside of the region of interest ({name}), so it changes nothing: check that "
    "outside is 0 in it, or leave it out",
    "roi-small-windows": "only {share:.1%} of the frame is inside of the region of interest: windows that "
    "don't touch it aren't judged, and little is learned",
    "roi-small": "only {share:.1%} of the frame is inside of the region of interest, so most of the "
    "model's input shows nothing: crop the images round it, or give a larger --size, to see finer defects",
    "roi-defects": "{count} of {total:#marked defect} {count:lies|lie} wholly outside of the region of "
    "interest and {count:is|are} in no pixel metric; {images} of {masked:#defective image} "
    "{images:has|have} no other, {example} for one: each counts as an escape where it passes",
    "roi-defects-partly": "{count} of {total:#marked defect} {count:lies|lie} wholly outside of the "
    "region of interest and {count:is|are} in no pixel metric; every defective image has another inside",
    "mask-empty": "{count} of {total:#masked defective image} {count:has a mask that marks|have masks that "
    "mark} nothing, {example} for one: such an image counts as unmasked; mark its defect, or move the image "
    "to the good ones",
    "mask-lossy": "lossy mask files: {count}, {example} for one; they blur what they mark, so a pixel "
    "counts as marked from half of the brightest value on; save masks as PNG",
    "mask-grey": "masks with many faint values, as a lossy file or a soft brush leaves them: {count}, "
    "{example} for one; every value but 0 counts as marked; save masks with two values",
    "mask-alpha": "masks read from their alpha channel, as they have one colour or nothing coloured that's "
    "visible: {count}, {example} for one; check the outlines in the report",
    "mask-palette": "masks read by their palette's numbers, as its colours tell nothing apart: {count}, "
    "{example} for one; check the outlines in the report",
    "mask-most": "{count} of {total:#mask} {count:marks most of its|mark most of their} image, {example} "
    "for one ({share:.0%}): if {count:it marks|they mark} what's good, invert {count:it|them}",
    "mask-odd": "{count} of {total:#mask} {count:marks most of its|mark most of their} image, unlike the "
    "others, {example} for one ({share:.0%}): if {count:it marks|they mark} what's good, invert "
    "{count:it|them}",
    "mask-turned": "images that are turned as their files say (EXIF orientation) while their masks aren't: "
    "{count}, {example} for one; a mask must be drawn on the image as a viewer shows it: one drawn on the "
    "stored image marks the wrong place; check the outlines in the report",
    "mask-fine": "{count} of {total:#marked region} {count:is|are} finer than a pixel of the model's "
    "{height} x {width}, {example} has one: kept, as a pixel or a line a pixel wide",
    "mask-joined": "{count} of {total:#marked region} {count:runs|run} together with a neighbour at the "
    "model's {height} x {width}, in {example} for one: they count as one",
    "stray-masks": "masks in {folder} that belong to no image: {count}, {example} for one; name a mask as "
    "its image, or with _mask after the name",
    "unread-masks": "files in {folder} that have an image's name and an unknown ending: {count}, {example} "
    "for one; not read: save masks as PNG",
    "left-out": "{count} of {total:#image} could not be read and {count:is|are} in no figure: {problems}",
    "weak-separation": "this model can hardly tell defects that are hard to see: its AUROC on synthetic ones "
    "is {auroc}, under {wanted}; try a larger --size, finer layers, a larger bank, or more good images",
    "rate-of-images": "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "{confidence:.0%} confidence, if those images show different parts, drawn as the line's are",
    "rate-of-parts": "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "{confidence:.0%} confidence, from {counted:#different part} in {images:#held-out image}, if those "
    "images show different parts, drawn as the line's are",
    "rate-of-groups": "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "{confidence:.0%} confidence, from {counted:#group} in {images:#held-out image}, if the groups are "
    "drawn as the line's are",
    "rate-between-images": "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "at least {confidence:.0%} confidence, if those images show different parts, drawn as the line's are",
    "rate-between-parts": "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "at least {confidence:.0%} confidence, from {counted:#different part} in {images:#held-out image}, if "
    "those images show different parts, drawn as the line's are",
    "rate-between-groups": "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "at least {confidence:.0%} confidence, from {counted:#group} in {images:#held-out image}, if the groups "
    "are drawn as the line's are",
    "rate-of-tail-images": "expect {expected:.2%} of good images over the threshold, by the fitted tail of "
    "the scores of {images:#held-out image}; none of these is over it, which shows under {upper:.2%} with "
    "at least {confidence:.0%} confidence, if those images show different parts, drawn as the line's are",
    "rate-of-tail-parts": "expect {expected:.2%} of good images over the threshold, by the fitted tail of "
    "the scores of {counted:#different part} in {images:#held-out image}; none of these is over it, which "
    "shows under {upper:.2%} with at least {confidence:.0%} confidence, if those images show different "
    "parts, drawn as the line's are",
    "rate-of-tail-groups": "expect {expected:.2%} of good images over the threshold, by the fitted tail of "
    "the scores of {counted:#group} in {images:#held-out image}; none of these is over it, which shows "
    "under {upper:.2%} with at least {confidence:.0%} confidence, if the groups are drawn as the line's are",
    "rate-of-few-images": "{images:#held-out image} can't show a rate of {rate:.2%}, that takes {needed}: "
    "expect {expected:.2%} of good images over the threshold, under {upper:.2%} with {confidence:.0%} "
    "confidence, if those images show different parts, drawn as the line's are",
    "rate-of-few-parts": "{counted:#different part} in {images:#held-out image} can't show a rate of "
    "{rate:.2%}, that takes {needed}: expect {expected:.2%} of good images over the threshold, under "
    "{upper:.2%} with {confidence:.0%} confidence, if those images show different parts, drawn as the "
    "line's are",
    "rate-of-few-groups": "{counted:#group} in {images:#held-out image} can't show a rate of {rate:.2%}, "
    "that takes {needed}: expect {expected:.2%} of good images over the threshold, under {upper:.2%} with "
    "{confidence:.0%} confidence, if the groups are drawn as the line's are",
    "rate-of-few-images-or-tail": "{images:#held-out image} can't show a rate of {rate:.2%}, that takes "
    "{needed}, or {fewer} if their scores' tail can be fitted: expect {expected:.2%} of good images over "
    "the threshold, under {upper:.2%} with {confidence:.0%} confidence, if those images show different "
    "parts, drawn as the line's are",
    "rate-of-few-parts-or-tail": "{counted:#different part} in {images:#held-out image} can't show a rate "
    "of {rate:.2%}, that takes {needed}, or {fewer} if their scores' tail can be fitted: expect "
    "{expected:.2%} of good images over the threshold, under {upper:.2%} with {confidence:.0%} confidence, "
    "if those images show different parts, drawn as the line's are",
    "rate-of-few-groups-or-tail": "{counted:#group} in {images:#held-out image} can't show a rate of "
    "{rate:.2%}, that takes {needed}, or {fewer} if their scores' tail can be fitted: expect {expected:.2%} "
    "of good images over the threshold, under {upper:.2%} with {confidence:.0%} confidence, if the groups "
    "are drawn as the line's are",
    "rate-apart-images": "{images:#held-out image} can't show a rate of {rate:.2%}, since some are unlike "
    "all others and over every threshold: expect {expected:.2%} of good images over the threshold, under "
    "{upper:.2%} with {confidence:.0%} confidence; look at those that `edgead fit` names, and leave out what "
    "isn't good",
    "rate-apart-parts": "{counted:#different part} in {images:#held-out image} can't show a rate of "
    "{rate:.2%}, since some images are unlike all others and over every threshold: expect "
    "{expected:.2%} of good images over the threshold, under {upper:.2%} with {confidence:.0%} confidence; "
    "look at those that `edgead fit` names, and leave out what isn't good",
    "rate-apart-groups": "{counted:#group} in {images:#held-out image} can't show a rate of {rate:.2%}, "
    "since some images are unlike all others and over every threshold: expect {expected:.2%} of good images "
    "over the threshold, under {upper:.2%} with {confidence:.0%} confidence; look at those that `edgead fit` "
    "names, and leave out what isn't good",
    "rate-largest-of-learned": "no false-positive rate can be stated: the held-out images are near copies of"
    " learned ones",
    "rate-given": "the thresholds were set by hand, so nothing is known of their false-positive rate",
    "rule-split-conformal": "split conformal quantile of held-out good images",
    "rule-split-conformal-largest": "split conformal quantile of held-out good images, each group counted "
    "once",
    "rule-interpolated": "quantile of held-out good images, between two of their scores",
    "rule-interpolated-largest": "quantile of held-out good images, each group counted once, between two of "
    "their scores",
    "rule-generalised-pareto": "generalised Pareto tail beyond the largest score of held-out good images",
    "rule-generalised-pareto-largest": "generalised Pareto tail beyond the largest score of held-out good "
    "images, fitted to each group's largest",
    "threshold-revised": "the threshold was revised {when} by {by} (revision {revision}), no reason given",
    "threshold-revised-why": "the threshold was revised {when} by {by} (revision {revision}): {why}",
    "threshold-revised-of": "the threshold of {product} was revised {when} by {by} (revision {revision}), no "
    "reason given",
    "threshold-revised-of-why": "the threshold of {product} was revised {when} by {by} (revision "
    "{revision}): {why}",
    "signature-outdated": "{signatures:#signature} of this bundle doesn't cover that: sign it again, or a "
    "device that demands one refuses it",
    "signatures-beside": "{signatures:#other signature} of this bundle with serial {serial} hold as well, "
    "whatever this one says of its end: remove them from signatures/, or give a higher --serial",
    "threshold-restored": "the threshold of revision {restores} was restored {when} by {by} (revision "
    "{revision}), no reason given",
    "threshold-restored-why": "the threshold of revision {restores} was restored {when} by {by} (revision "
    "{revision}): {why}",
    "threshold-as-exported": "the threshold was set back to the exported one {when} by {by} (revision "
    "{revision}), no reason given",
    "threshold-as-exported-why": "the threshold was set back to the exported one {when} by {by} (revision "
    "{revision}): {why}",
    "cheap-recall": "{then} instead of {found} of {total:#defect} would be found if {more:.2%} instead of "
    "{expected:.2%} of good images were flagged: `edgead calibrate BUNDLE --fpr {rate:.4f}` sets that",
    "defects-found": "{found} of {total:#defect} found: at least {least:.0%} of such defects, with "
    "{confidence:.0%} confidence",
    "few-defects-found": "{found} of {total:#defect} found: that shows at least {least:.0%} of such defects, "
    "with {confidence:.0%} confidence; {needed} that are all found would show {well:.0%}",
    "look-learned": "nearly all of the {images:#good image} score under {least}, lower than any held-out "
    "one: if the model learned them, the threshold is too low; give images that it hasn't learned",
    "good-over": "{over} of {images:#good image} {over:is|are} over the threshold that held so far: look at "
    "them, and whether light, focus and camera are as when the model was fitted",
    "maps-of-some": "the pixel threshold is from the anomaly maps of {maps} of {images:#good image}, an even "
    "share: more don't fit into memory",
    "few-for-regions": "{frames:#good frame} can't show {asked} false regions a frame, that takes {needed}: "
    "expect {expected:.3f}",
    "pixel-kept": "the pixel threshold stays, as it was set on false regions: --pixel-regions sets it anew",
    "held-out-again": "the thresholds in force rest on {images:#image} judged {when}, and these on the "
    "images held out when the bundle was fitted: give --good for newer ones",
    "product-of-default": "the good images are those held out when the bundle was fitted: give good images "
    "of {product} with --good",
    "one-kind": "all defects are of one kind, {kind}, so nothing is known of how other kinds are found",
    "rate-of-regions": "expect {expected:.3f} false regions of {area} pixels or more a good frame, under "
    "{upper:.3f} with {confidence:.0%} confidence: {regions:#region} in {frames:#frame}",
    "cost-of-a-part": "expect a cost of {after:.4f} a part, so far {before:.4f}, where {share:.2%} of parts "
    "are defective",
    "not-proven": "the new thresholds weren't proven here ({why}): a detector does that where it loads",
    "rate-all-over": "{images:#good image} {images:was|were} judged, and all are over the threshold: "
    "expect it to flag nearly every good part",
    "rate-recall": "the threshold finds given defects, and nothing is known of its false-positive rate",
    "rate-cost": "the threshold costs least with given defects, and nothing is known of its false-positive "
    "rate",
    "rule-recall": "as high as finds the asked share of given defects",
    "rule-cost": "the least expected cost of missed defects and false alarms",
    "rule-largest-of-learned": "the largest of held-out good images",
    "rule-given": "set by hand",
    "image-score-paper": "image score: the one that the method yields itself",
    "image-score-maximum": "image score: the anomaly map's maximum",
    "image-score-top-share": "image score: the mean of the highest {share:.2%} of the patch scores",
    "image-score-by-user": "as asked for",
    "image-score-by-preset": "as the preset has it",
    "image-score-by-postprocessor": "the only one that the method's post-processor has",
    "image-score-by-method": "the method's own; no other tells synthetic defects apart clearly better "
    "(AUROC: {names})",
    "image-score-by-windows": "as frames are judged in windows",
    "image-score-by-synthetic-defects": "chosen, since it tells synthetic defects apart best (AUROC: "
    "{names})",
    "sizes-found": "of defects like these half are found from {half:.3g} pixels on ({of_side:.1%} of the "
    "shorter side), and {most_share:.0%} from {most:.3g} pixels on",
    "sizes-half": "of defects like these half are found from {half:.3g} pixels on ({of_side:.1%} of the "
    "shorter side), and {most_share:.0%} of no size up to {largest:.3g} pixels",
    "sizes-none": "of defects like these fewer than half are found in every size up to {largest:.3g} pixels",
    "size-asked": "of defects of {size:.3g} pixels, the smallest that must be found, {found} of {drawn} are",
    "size-missed": "of defects of {size:.3g} pixels, the smallest that must be found, only {found} of "
    "{drawn} are: try finer layers (`-o layers=...`), a larger bank, more good images, or allow more false "
    "alarms with --fpr; where the table's rise is near 0 the network doesn't see them, else good images "
    "differ as much",
    "sizes-few": "defects of several sizes were drawn on {images:#held-out image} only, so what is found of "
    "them says little of other parts",
    "sizes-unmeasured": "what sizes of defects are found couldn't be measured: no held-out image is both "
    "under the threshold and large enough to draw on",
    "sizes-lost": "small defects may be lost where the images are shrunk {shrunk:.1f} times to {height} x "
    "{width}: half are found from {size:.3g} pixels on only, {of_side:.0%} of the shorter side; try --size "
    "{larger_height}x{larger_width}, {times:.1f} times the pixels and about as many times the time, or let "
    "--smallest-defect choose an input for the size that must be found",
    "sizes-lost-none": "small defects may be lost where the images are shrunk {shrunk:.1f} times to {height} "
    "x {width}: up to {size:.3g} pixels, {of_side:.0%} of the shorter side, fewer than half are found; try "
    "--size {larger_height}x{larger_width}, {times:.1f} times the pixels and about as many times the time, "
    "or let --smallest-defect choose an input for the size that must be found",
    "sizes-lost-windows": "small defects may be lost where the images are shrunk {shrunk:.1f} times to "
    "{height} x {width}: half are found from {size:.3g} pixels on only, {of_side:.0%} of the shorter side; "
    "an input of {larger_height} x {larger_width} takes {times:.1f} times the pixels and about as many times "
    "the time: rather judge windows of each image (--windows), and --smallest-defect says which",
    "sizes-lost-none-windows": "small defects may be lost where the images are shrunk {shrunk:.1f} times to "
    "{height} x {width}: up to {size:.3g} pixels, {of_side:.0%} of the shorter side, fewer than half are "
    "found; an input of {larger_height} x {larger_width} takes {times:.1f} times the pixels and about as "
    "many times the time: rather judge windows of each image (--windows), and --smallest-defect says which",
    "sizes-lost-scale": "small defects may be lost where frames are shrunk {shrunk:.1f} times before they're "
    "cut into windows: half are found from {size:.3g} pixels on only, {of_side:.0%} of the shorter side; try "
    "a smaller --scale, or let --smallest-defect choose it for the size that must be found",
    "sizes-lost-none-scale": "small defects may be lost where frames are shrunk {shrunk:.1f} times before "
    "they're cut into windows: up to {size:.3g} pixels, {of_side:.0%} of the shorter side, fewer than half "
    "are found; try a smaller --scale, or let --smallest-defect choose it for the size that must be found",
    "sizes-unlike": "half of the defects are found from {size:.3g} pixels on only, {of_side:.0%} of the "
    "shorter side, though these cover {patches:.1f} patches of the finest feature map: good images that "
    "differ hide them rather than the input's size; give more good images, finer layers, or allow more false "
    "alarms with --fpr",
    "sizes-unlike-none": "fewer than half of the defects are found up to {size:.3g} pixels, {of_side:.0%} of "
    "the shorter side, though these cover {patches:.1f} patches of the finest feature map: good images that "
    "differ hide them rather than the input's size; give more good images, finer layers, or allow more false "
    "alarms with --fpr",
    "threshold-note": "about the threshold: {text}",
    "input-preset": "input {height} x {width} (height x width), stretched, as the preset has it",
    "windows-asked": "windows of {height} x {width} pixels (height x width), as asked for; images usually "
    "have {image_height} x {image_width}",
    "windows-chosen": "windows of {height} x {width} pixels (height x width) for images of usually "
    "{image_height} x {image_width}",
    "input-asked": "input {height} x {width} (height x width), stretched, as asked for",
    "input-mixed": "input {height} x {width} (height x width), stretched: the median aspect, from which "
    "{off:.0%} of the images differ by more than 1.5 times",
    "input-long": "input {height} x {width} (height x width), stretched: the images are about {image_height}"
    " x {image_width}, longer than the limit of {limit:.3g} to 1",
    "input-square": "input {height} x {width} (height x width), stretched: the images are about "
    "{image_height} x {image_width}, close to square",
    "input-aspect": "input {height} x {width} (height x width), stretched: the images are about "
    "{image_height} x {image_width} and keep their aspect of {ratio:.2f} to 1",
    "input-need": "input {height} x {width} (height x width), stretched: a defect of {smallest:.3g} pixels "
    "of the images, about {image_height} x {image_width}, covers {patches:.1f} patches of the finest feature "
    "map (stride {stride}) there; {times:.1f} times the pixels of {usual_height} x {usual_width}, which "
    "would be chosen without a smallest defect",
    "input-need-usual": "input {height} x {width} (height x width), stretched, as without a smallest defect: "
    "one of {smallest:.3g} pixels of the images, about {image_height} x {image_width}, covers {patches:.1f} "
    "patches of the finest feature map (stride {stride}) there, and {wanted:.1f} are enough",
    "input-need-own": "input {height} x {width} (height x width), stretched, as the images, about "
    "{image_height} x {image_width}, have no more pixels: a defect of {smallest:.3g} covers {patches:.2f} "
    "patches of the finest feature map (stride {stride}), and from {wanted:.1f} on most are found; try a "
    "finer map (`-o layers=...`), or a lens or camera that shows it larger",
    "input-need-windows": "a defect of {smallest:.3g} pixels of images of about {image_height} x "
    "{image_width} takes an input of {height} x {width}, {megapixels:.1f} megapixels, over the 1 that a "
    "whole frame is brought to at most: frames are shrunk by {scale:.3g} and judged in about {windows} "
    "windows of {window_height} x {window_width} ({times:.0f} times the pixels of {usual_height} x "
    "{usual_width})",
    "target-faster": "on this machine the engine of target {other} runs {form} {times:.1f} times as fast as "
    "that of {target} (processor time on one core; its gates weren't run): `--target {other}` exports for it "
    "through both gates, and `--target auto` takes the faster of those that pass",
    "target-not-timed": "whether the engine of target {other} runs {form} faster on this machine couldn't be "
    "measured ({reason}); the exported bundle is complete, export again where the comparison matters",
    "times-of-a-window": "times are of a window of {height} x {width}: a frame takes as many as it has "
    "windows (`edgead run` has its time)",
    "frames-larger": "frames of up to {times:.1f} times the area of the good images were judged: each window "
    "more is one more chance of a false alarm, so expect about as many times the stated rate; calibrate with "
    "good frames of this size, `edgead calibrate BUNDLE --good DIR`",
    "bench-windows": "frames of {height} x {width} are judged here, {windows:#window} each: a frame of more "
    "takes longer in proportion",
    "bundle-faster": "on this machine {other} is {times:.1f} times as fast as {bundle}, the same fitted "
    "model in the same form on another engine: use that one, or let `edgead export --target auto` choose",
    "no-form": "{reason}",
    "form-failed": "{reason}",
    "misses-parity": "parity: score {score:.2%}, map {map:.2%} off the reference, {tolerance:.2%} and "
    "{map_tolerance:.2%} allowed, {flips} verdicts flipped",
    "misses-precision": "precision: expected to lose {expected_loss:.2f} points of AUROC, lost "
    "{measured_loss:.2f} on synthetic defects, {max_loss:.2f} allowed",
    "no-digest": "an older edgead wrote the bundle, whose manifest carries no digest: a damaged threshold "
    "might go unseen; export the bundle again",
    "slot-unreadable": "the {slot} bundle can't be used: {reason}",
    "slot-exchanged": "the {slot} slot holds another bundle than was installed there: install the one that "
    "you want",
    "slot-signed-since": "the {slot} bundle was signed since it was installed: it has serial {serial} by "
    "now, and {accepted} is what was accepted then; `edgead verify BUNDLE --key FILE` checks its signature",
    "unchecked-files": "no hash covers {files:#file} in folders that are kept for signatures and what a "
    "device was taught ({names}), and this version of edgead uses none of them",
    "lesson-no-false-alarm": "{image} passes already, its score is {score:.6g}: nothing was learned of it",
    "lesson-no-missed": "{image} is anomalous already, its score is {score:.6g}: nothing was learned of it",
    "lesson-still-false-alarm": "{image} would still be an alarm, with a score of {score:.6g}: teach more "
    "images of its kind, undo what may speak against it, or set the threshold with `edgead calibrate`",
    "lesson-still-missed": "{image} would still pass, with a score of {score:.6g}: it can't be told from "
    "what is good, give a --mask of the defect if it has none",
    "lesson-cost": "judged on {carried:#image} of the bundle and the images of {lessons:#lesson}; the images "
    "that the threshold rests on aren't in the bundle, so nothing is known of theirs",
    "lesson-flips": "{flips:#verdict} on other images would change ({names}): look at them, and take it with "
    "--yes if that's right",
    "taught": "on this device it was taught {lessons:#lesson}, {false_alarms:#false alarm} and "
    "{missed:#missed defect}: see `edgead teach BUNDLE --list`",
    "line-ending": "the line is being ended",
    "line-stopped": "a verdict was the fail-safe's, and this line stops then: look at the part, and start it "
    "again",
    "line-camera-away": "camera {camera} isn't there, or is being opened",
    "line-camera-silent": "nothing is heard of camera {camera}",
    "line-judges-away": "no judge of camera {camera} is ready",
    "line-sink-away": "sink {sink} isn't there",
    "line-started": "line {line} has started, run {run}",
    "line-stalled": "the line's own process stood still for {seconds:.1f} s, so that what came meanwhile is "
    "late: look at what else this machine does",
    "line-process-gone": "{process} has ended and is started again: {why}",
    "line-process-refused": "{process} can't do its work: {why}",
    "line-camera-open": "camera {camera} takes triggers",
    "line-camera-lost": "camera {camera} is lost, and is opened again: {why}",
    "line-uncorrelated": "camera {camera}: it isn't certain any more which image is which trigger's, so it's "
    "opened anew",
    "line-judge-ready": "judge {judge} is warm after {seconds:.1f} s, on {runs_on}",
    "line-judge-failed": "judge {judge} couldn't judge trigger {trigger}: {why}",
    "line-sink-up": "sink {sink} is there",
    "line-sink-down": "sink {sink} is down, and is opened again: {why}",
    "line-sink-well": "sink {sink} is well again",
    "line-sink-ill": "sink {sink} isn't well: {detail}",
    "line-sink-missed": "sink {sink} has missed {verdicts:#verdict} so far: {why}",
    "line-check-no-users": "{file} isn't there yet: the line makes it at its first start, and tells the "
    "password",
    "line-page-up": "the page is at {address}",
    "line-page-first-password": "no users file was there, so it's made: {file}. Log in to the page as {user} "
    "with the password {password} and keep it, it's said only now",
    "line-page-fault": "the page couldn't answer {what}; what it shows may lack something, parts are judged "
    "all the same",
    "line-record-up": "the record is kept in {folder}",
    "line-record-down": "the record can't be written, and is tried again; verdicts wait in memory: {why}",
    "line-record-lost": "{rows:#row} of the record {rows:is|are} lost so far: {why}; look at the recorder",
    "line-record-refused": "{rows:#row} {rows:is|are} nothing that a record can hold: {why}; report this",
    "line-record-images-dropped": "{images:#image} of those to be kept {images:is|are} lost so far: {why}",
    "line-record-stuck": "nothing can be removed from the record, which grows: {why}; look at its files' "
    "rights and at the disk",
    "line-record-exempt": "images with feedback alone take {gigabytes:.2f} GB, over the {most:.2f} GB of "
    "keep; raise it",
    "line-record-unsaved": "{rows:#row} of the record {rows:is|are} lost with the line's end; look into why",
    "line-record-damaged": "the record in {folder} is damaged; it was moved aside as {aside}, its images "
    "too, and a new one is begun: {why}",
    "line-swap-tries": "camera {camera}: bundle {bundle} is warmed, and tried on {images:#image} before it "
    "judges",
    "line-swap-other": "camera {camera}: it was told of yet another bundle, so {bundle} isn't tried any more",
    "line-swap-same": "camera {camera}: bundle {bundle} judges already, so nothing is changed",
    "line-swap-judges": "camera {camera}: bundle {bundle} judges now, and the one before stands by; of "
    "{images:#image} that both have judged {differ:#verdict} {differ:differs|differ}, scores by {apart:.4g} "
    "at most",
    "line-swap-done": "camera {camera}: bundle {bundle} stays, and the one before is let go of",
    "line-swap-refused": "camera {camera}: bundle {bundle} is refused, and the one before goes on judging: "
    "{why}; look into it before this line is started again",
    "line-swap-back": "camera {camera}: bundle {bundle} is given up, and the one before judges again: {why}; "
    "look into it before this line is started again",
    "line-swap-unasked": "there's no camera {camera} whose bundle this line could change: look at its file",
    "line-bundle-changed": "camera {camera}: its bundle's folder was changed while the line runs, and holds "
    "{bundle} now: a judge that was started again isn't let judge by it; reload the line, or put the old one "
    "back",
    "line-bundle-taken": "camera {camera}: no judge was left, and its bundle's folder was changed while the "
    "line runs, so {bundle} judges now",
    "line-slots-trouble": "the slots that this line's bundles are from: {why}",
    "line-check-image": "it gives images of {size} {type}",
    "line-check-depth": "their values have {bits} bits",
    "line-check-depth-untold": "its images have 16 bits, and nobody says how many the camera fills, so that "
    "they're taken for 16: give depth where it fills fewer",
    "line-check-no-image": "it's open, and gave no image in {seconds:.0f} s: trigger it and try again",
    "line-check-uncounted": "it doesn't count its triggers, so that a lost image is seen by nobody",
    "line-check-warm": "warm after {seconds:.1f} s, on {runs_on}",
    "line-check-judged": "it judged an image in {ms:.1f} ms",
    "line-check-slow": "{ms:.1f} ms for an image is over the deadline of {deadline_ms:.0f} ms",
    "line-check-role": "it's there, with the role {role}",
    "line-check-tells": "it tells of triggers",
    "line-check-where": "{detail}",
    "no-images": "no images",
    "no-good-images": "no good images",
    "no-bad-images": "no bad images",
    "defective-unmasked": "{images:#defective image} {images:has|have} no mask",
    "masks-mark-nothing": "the masks mark no pixel",
    "masks-mark-all": "the masks mark every pixel",
    "defect-unmarked": "no pixels of this defect are marked",
    "one-of-a-kind": "one good or one defective image shows no spread",
    "undefined-on-draws": "undefined on too many draws",
    "no-spread": "every draw of the images gives the same, so nothing shows its spread",
    "both-perfect": "both are 1 on every draw of the images, which doesn't show how far they may differ",
    "too-few-to-draw": "too few images to draw from",
    "too-few-to-test": "it needs two good and two bad images at least",
    "no-gap": "F1 is 100 % at the threshold, so nothing is lost",
    "too-few-for-rate": "{images:#good test image} can't show a rate of {rate:.2%}, that takes {needed}",
    "rate-of-another": "this threshold isn't the bundle's, so nothing is stated of its false alarms",
    "alarms-over-stated": "the threshold promises under {upper:.2%} of false alarms, and {alarms} of "
    "{images:#good image} were seen (95 %: {low:.1%} to {high:.1%}): calibrate it again on good images of "
    "this line, edgead calibrate BUNDLE --good DIR",
    "threshold-too-high": "the threshold costs {share:.0%} of what F1 lacks: it's {f1:.1%}, and {best:.1%} "
    "at {at:.6g}, a lower one (the best that there is, as it's chosen on these very images); calibrate with "
    "some of the line's defects, edgead calibrate BUNDLE --good DIR --defects DIR, or allow more false "
    "alarms with --fpr R",
    "threshold-too-low": "the threshold costs {share:.0%} of what F1 lacks: it's {f1:.1%}, and {best:.1%} "
    "at {at:.6g}, a higher one (the best that there is, as it's chosen on these very images); calibrate on "
    "good images of this line, edgead calibrate BUNDLE --good DIR --defects DIR, or allow fewer false alarms "
    "with --fpr R",
    "cells-over-stated": "in {cells} of {total:#cell} more false alarms were seen than the threshold "
    "promises: calibrate such a bundle again on good images of the line, edgead calibrate BUNDLE --good DIR",
    "cells-lose-to-threshold": "in {cells} of {total:#cell} the threshold costs more than half of what F1 "
    "lacks: calibrate such a bundle with some of the line's defects, edgead calibrate BUNDLE --good DIR "
    "--defects DIR",
    "differ-alike": "the bundles differ on every image alike",
    "drift-score-up": "anomaly scores have risen since about frame {since}: {now:.0%} of the last frames "
    "are over a mark that {usual:.0%} were over ({spreads:.1f} spreads): look at parts, light and focus; "
    "if this is how it should be now, check the threshold on such images and reset Drift",
    "drift-score-down": "anomaly scores have fallen since about frame {since}: {now:.0%} of the last "
    "frames are over a mark that {usual:.0%} were over ({spreads:.1f} spreads), and defects may score "
    "lower too: look at light, focus and what is in view; if this is how it should be now, check the "
    "threshold and reset Drift",
    "drift-brightness-up": "frames are {change:.0%} brighter since about frame {since} ({spreads:.1f} "
    "spreads): check exposure, gain, lamps and daylight",
    "drift-brightness-down": "frames are {change:.0%} darker since about frame {since} ({spreads:.1f} "
    "spreads): check exposure, gain, lamps and the lens for dirt",
    "drift-contrast-up": "contrast is up by {change:.0%} since about frame {since} ({spreads:.1f} "
    "spreads): check lamps, reflections, and whether other parts are made",
    "drift-contrast-down": "contrast is down by {change:.0%} since about frame {since} ({spreads:.1f} "
    "spreads): check the lens for haze and dust, stray light, and whether other parts are made",
    "drift-sharpness-up": "frames are {change:.0%} sharper since about frame {since} ({spreads:.1f} "
    "spreads): check gain (noise looks sharp), focus, and whether other parts are made",
    "drift-sharpness-down": "frames are {change:.0%} less sharp since about frame {since} ({spreads:.1f} "
    "spreads): check focus, distance, the lens for dirt, and exposure time and speed for motion blur",
    "drift-judged-up": "{now:.1%} of the last frames could be judged, {usual:.1%} while it was learned, "
    "since about frame {since}: reset Drift if that was mended",
    "drift-judged-down": "{now:.1%} of the last frames could be judged, {usual:.1%} were usual, since "
    "about frame {since}: see why frames are refused or missing: trigger, cable, camera settings, engine",
    "drift-latency-up": "judging takes {change:.0%} longer since about frame {since} ({spreads:.1f} "
    "spreads): check what else runs on the machine, its cooling and its power settings",
    "drift-latency-down": "judging takes {change:.0%} less time since about frame {since} ({spreads:.1f} "
    "spreads): reset Drift if the machine was changed",
    "drift-line-differs": "the line's first {frames} frames don't look like the bundle's held-out good "
    "images: {median:.0%} score over the median of those and {high:.0%} over their 90 % quantile: look at "
    "camera, light and parts, or fit and calibrate on images of this line",
    "drift-no-held-out": "the bundle keeps no scores of held-out good images that differ, so whether this "
    "line looks like its images can't be told: fit and export it again, with more images if need be",
    "drift-unsettled": "{name} never kept still while it was learned, over {frames} frames (from "
    "{before:.3g} to a mean of {after:.3g}, {unit}), so that only large changes of it are found: if that is "
    "how the line is, learn over more blocks; if not, mend it and reset Drift",
    "drift-unsaved": "what Drift has learned is not saved: {reason}",
    "drift-learning": "Drift has learned {done} of {blocks:#block} of {block:#frame}, and says nothing of "
    "changes before it has them all",
    "web-margin-guessed": "this bundle doesn't say how far from a window's edges its map is to be trusted: "
    "{margin:#pixel} of a window of {side} are left to its neighbours; fit one with --windows, which "
    "measures it, or give margin=",
    "web-pixel-for-pixel": "this bundle was fitted on images that were brought to {height} x {width} pixels, "
    "and a web's windows are cut out of it as they come: right only if those were of this size already, cut "
    "out of good web; else fit one with --windows on pictures of good web",
    "web-pixel-decides": "on a web areas over the pixel threshold {pixel:.4g} are defects where their peak "
    "is over the score's, {score:.4g}: the pixel threshold is the higher one, so it decides alone; to find "
    "more, calibrate it with edgead calibrate BUNDLE --good DIR --pixel-regions RATE",
    "web-defect": "defect {id} from line {start} up to {end}, columns {left} up to {right}: {area:#pixel}, "
    "peak {peak:.4g}",
    "web-defect-open": "defect {id} from line {start} and going on at {end}, columns {left} up to {right}: "
    "{area:#pixel} so far, peak {peak:.4g}",
    "web-defect-cut": "defect {id} from line {start} up to {end}, columns {left} up to {right}, cut off by "
    "what wasn't inspected: {area:#pixel}, peak {peak:.4g}",
    "web-lost": "from line {start} up to {end} nothing was inspected: these lines were lost; treat them as "
    "defective",
    "web-refused": "from line {start} up to {end} nothing was inspected: {error}; treat these lines as "
    "defective",
    "web-refused-unknown": "the web is interrupted at line {start}: {error}; how many lines that was isn't "
    "known, so none is counted, and later lines' numbers are that much too small unless pieces come with an "
    "encoder's count: treat what lies there as defective",
    "web-encoder-jump": "from line {start} up to {end} nothing was inspected: the encoder went from "
    "{start_encoder} to {end_encoder} without them; treat them as defective, and look at camera and trigger",
    "web-encoder-back": "the web is interrupted at line {start}: the encoder went back from {start_encoder} "
    "to {end_encoder}; look at what lies around it",
    "web-inference": "from line {start} up to {end}, columns {left} up to {right}, nothing was inspected: "
    "{error}; treat it as defective",
    "web-not-finite": "from line {start} up to {end}, columns {left} up to {right}, nothing was inspected: "
    "{error}; treat it as defective, and export the bundle again",
    "stands-out": "these good images are unlike all others, by robust standard deviations: {names}, next "
    "{next}; look at them and leave out what isn't good, for a defect that is learned is never found; those "
    "with scores over all others set no threshold, and count as rejected in its rate",
}
"""A notice's code to its sentence, with the values' names in braces: what is so, and what to do about it."""

__all__ = ["SENTENCES"]
