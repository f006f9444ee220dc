"""What programs under `exec:` with a PyTorch model share: the loop that answers deciban's calls (docs/plugins.md has the
protocol), and the parts of replies.  Import it first: from then on what libraries print goes to standard error."""
import base64, json, os, sys

replies, sys.stdout = sys.stdout, sys.stderr
HERE = os.path.dirname(os.path.realpath(__file__))  # off the path: a program may have the name of a package
sys.path = [p for p in sys.path if os.path.realpath(p or ".") != HERE]
import torch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def chosen(options):
    """(mode, device) of the options that deciban opens a model with; sets the threads."""
    mode = options["format"].replace("auto", "f32")
    if mode not in DTYPES:
        raise ValueError(f"mode '{mode}': this program knows {', '.join(DTYPES)}")
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    return mode, options["device"].replace("auto", "cuda" if torch.cuda.is_available() else "cpu")


def described(mode, device, **more):
    """`info`, of what every model here can say, and more."""
    return {"format": mode, "weight_format": mode, "activation_format": mode, "device": device, "rows": True,
            "threads": torch.get_num_threads(), **more}


def bytes_of(text):
    return text.encode() if isinstance(text, str) else base64.b64decode(text["bytes"])


def text_of(data):
    return {"bytes": base64.b64encode(data).decode()}


def result(logits, sequence, rows):
    """The reply for one sequence; row i of the logits follows token i."""
    first, tokens = sequence["first"], sequence["tokens"]
    logits = logits[first - 1 : len(tokens) - 1].float()
    logprobs = torch.log_softmax(logits, dim=-1)
    best, place = logprobs.max(dim=-1)
    own = logprobs.gather(1, torch.tensor(tokens[first:], device=logits.device)[:, None])[:, 0]
    return {"logprob": own.tolist(), "best_logprob": best.tolist(), "best": place.tolist(),
            "rows": base64.b64encode(logits.cpu().contiguous().numpy().tobytes()).decode() if rows else ""}


def answer(model, call):
    match call["call"]:
        case "encode":
            return {"tokens": model.encode(call["text"])}
        case "decode":
            return {"text": model.decode(call["tokens"])}
        case "score":
            with torch.inference_mode():
                return {"results": list(model.score(call["sequences"], call.get("rows", False)))}
        case "memory" if hasattr(model, "weights"):
            return {"weights": model.weights()}
    raise ValueError(f"unknown call {call['call']}")


def serve(open_model):
    """Answers until standard input ends; open_model(path, options) gives the model of the command line."""
    model = None
    for line in sys.stdin:
        call = json.loads(line)
        try:
            if call["call"] == "open":
                model = open_model(sys.argv[1], call["options"])
                reply = {"info": model.info()}
            else:
                reply = answer(model, call)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"id": call["id"], **reply}), file=replies, flush=True)
