// Curve: the loss over the steps as an SVG, for people: axes with round numbers, one line for
// training and one for validation. Pure text; errors: none (no points, no lines).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "train/metrics.h"

namespace stemma {

std::string loss_svg(std::string_view title, std::span<const Metric> metrics);

}  // namespace stemma
