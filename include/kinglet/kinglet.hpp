// kinglet/kinglet.hpp: the whole API
//
//   prompt -- text/tokenizer --> tokens -- batch/batcher --> StepPlan
//      StepPlan -- model/forward --> logits       one layer: norm -> gate -> matmul -> rope -> attention -> matmul
//                                                            norm -> gate -> matmul -> activation -> matmul
//      logits -- sample/sampler --> token -- text/stream_decoder --> UTF-8 text to the host
//
// Nothing flows backwards; a folder includes only those before it:
//   core < text, quant, sparse < ops < kv < batch < model < sample < pipeline < engine
// Each header can also be used alone.
#pragma once
#include <kinglet/engine.hpp>
#include <kinglet/options.hpp>
#include <kinglet/session.hpp>
