#include "cli/dtype_option.h"

namespace stemma::cli {

void DtypeOption::declare(Options& o) {
  o.add("--dtype", name,
        "f32, bf16, int8 or int4: how the matrix products compute (default: bf16 for weights "
        "stored as bf16 where this CPU multiplies bf16 faster, else f32)");
}

std::optional<Format> DtypeOption::format(const char* verb) const {
  if (name.empty()) return std::nullopt;
  for (Format format : {Format::f32, Format::bf16, Format::int8, Format::int4})
    if (name == format_name(format)) return format;
  fail(Code::kUsage, "[", verb, "] --dtype is f32, bf16, int8 or int4, not ", name);
}

void DtypeOption::tell(const Session& session, const Checkpoint& checkpoint) const {
  const Format format = checkpoint.model->format();
  if (name.empty() && format != Format::f32)
    session.notice(cat("computes in ", format_name(format),
                       ", as its weights are stored; --dtype f32 ", "computes in full precision"));
}

}  // namespace stemma::cli
