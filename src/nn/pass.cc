#include "nn/pass.h"

namespace stemma {

const RopeTables& Pass::rope(Ctx& c, const Rope& rope) {
  for (const auto& [spec, tables] : tables_)
    if (spec == rope) return tables;
  return tables_.emplace_back(rope, rope_tables(c, rope, stream_.positions)).second;
}

}  // namespace stemma
