// --dtype, of every verb that runs a model: how its matrix products compute.
#pragma once

#include <optional>
#include <string>

#include "cli/verb.h"
#include "model/checkpoint.h"

namespace stemma::cli {

struct DtypeOption {
  std::string name;

  void declare(Options& o);
  // Nothing where the option was not given. Errors: a name that is no dtype (usage).
  std::optional<Format> format(const char* verb) const;
  // One line, where a default computes below f32.
  void tell(const Session& session, const Checkpoint& checkpoint) const;
};

}  // namespace stemma::cli
