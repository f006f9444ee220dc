"""The World vocabulary (rwkv_vocab_v20230424.txt): reading it, and longest-match encoding.  Standard library only."""
import ast


def read(path):
    """{id: bytes} of the file's lines `ID LITERAL LENGTH`."""
    table = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            first, last = line.index(" "), line.rindex(" ")
            literal = ast.literal_eval(line[first + 1 : last])
            token = literal if isinstance(literal, bytes) else literal.encode()
            if len(token) != int(line[last + 1 :]):
                raise SystemExit(f"{path}:{number}: the token has {len(token)} bytes, the line says {line[last + 1:]}")
            table[int(line[:first])] = token
    return table


def encoder(table):
    """A function from text to ids: at each place the longest token that fits."""
    ids = {token: number for number, token in table.items()}
    longest = {}  # of the tokens with the same first two bytes
    for token in ids:
        longest[token[:2]] = max(longest.get(token[:2], 0), len(token))

    def encode(text):
        data, at, out = text.encode(), 0, []
        while at < len(data):
            for length in range(longest.get(data[at : at + 2], 1), 0, -1):
                number = ids.get(data[at : at + length])
                if number is not None:
                    out.append(number)
                    at += length
                    break
            else:
                raise ValueError(f"no token for byte {data[at]} at {at}")
        return out

    return encode
