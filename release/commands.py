"""The commands that publish what a release has made. Nothing here runs them."""

from __future__ import annotations

from collections.abc import Sequence

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1"),
    *("ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2"),
)


def text(version: str, files: Sequence[str], *, tagged: bool) -> str:
    """Returns what to run after a release, step by step."""
    python = [f"dist/{name}" for name in files if name.endswith((".whl", ".tar.gz"))]
    layers = [f"dist/{name}" for name in files if name.endswith(".zip")]
    lines = [f"Keystart {version} is in dist/, with SHA256SUMS, SBOMs and NOTES.md. To publish it:", ""]
    if not tagged:
        lines += ["# This was a dry run: commit and tag first with", f"./dev release {version}", ""]
    lines += [
        f"git push origin HEAD v{version}",
        "# PyPI, as its trusted publisher: in a workflow with the permission id-token: write",
        f"uv publish --trusted-publishing always {' '.join(python)}",
        f"npm publish --provenance --access public dist/keystart-{version}.tgz",
        f"gem push dist/keystart-{version}.gem",
        "# The layers in each region, for everybody",
        f"for region in {' '.join(REGIONS)}; do",
        f'  for arn in $(keystart layer publish --region "$region" {" ".join(layers)}); do',
        '    aws lambda add-layer-version-permission --region "$region" --layer-name "${arn%:*}" \\',
        "      --version-number \"${arn##*:}\" --statement-id public --principal '*' --action lambda:GetLayerVersion",
        "  done",
        "done",
    ]
    return "\n".join(lines)
