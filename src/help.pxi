# SPDX-License-Identifier: MIT
# What help(Value.tanh) says: the formula and the derivative, read off the operation table's cells.

# Names in cells that are no functions of Python's math; the method of that name says so, too.
cdef dict meanings = {
    'sigmoid(x)': '1 / (1 + exp(-x))',
    'softplus(x)': 'log(1 + exp(x))',
    'normal_cdf(x)': '(1 + erf(x / sqrt(2))) / 2',
    'inv_sqrt_2pi': '1 / sqrt(2 * pi)',
    'two_inv_sqrt_pi': '2 / sqrt(pi)',
}

cdef str in_python(str cell):
    """A cell as Python writes it."""
    condition, is_choice, rest = cell.partition(' ? ')
    if is_choice:
        chosen, _, other = rest.partition(' : ')
        return f'{in_python(chosen)} if {in_python(condition)} else {in_python(other)}'
    text = re.sub(r'\bfn_', '', cell).replace('fabs', 'abs')
    text = re.sub(r'\b[A-Z][A-Z0-9_]+\b', lambda constant: constant[0].lower(), text)
    text = re.sub(r'\b(\d+)\.0\b', r'\1', text)
    return re.sub(r'\b([xyz]) \* \1\b', r'\1**2', text)

cdef str derivative_in_python(str gain):
    """A gain for an adjoint of 1."""
    text = re.sub(r'\bg\b', '1', in_python(re.sub(r'\bg \* ', '', gain)))
    return text[1:len(text) - 1] if in_one_pair(text) else text

cdef bint in_one_pair(str text):
    """Whether the parenthesis that opens a text is the one that closes it."""
    cdef int depth = 0
    for k, letter in enumerate(text):
        depth += (letter == '(') - (letter == ')')
        if depth == 0:
            return letter == ')' and k == len(text) - 1
    return False

cdef str help_of(str name, str value, str gain):
    formula, derivative = in_python(value), derivative_in_python(gain)
    lines = [f'{name}($self, /)\n--\n\n{formula}, where x is this value; a new node.', '',
             f'Derivative: {derivative}' + (', where z is the result.' if re.search(r'\bz\b', derivative) else '.')]
    for helper, meaning in meanings.items():
        used = helper.partition('(')[0]
        if re.search(rf'\b{used}\b', f'{formula} {derivative}'):
            lines.append(f'{helper} is {meaning}.')
    return '\n'.join(lines)

cdef list unary_documents = []      # that unary_methods points into

cdef void write_help():
    cdef int k = 0
    while unary_methods[k].ml_name != NULL:
        unary_documents.append(help_of(unary_methods[k].ml_name.decode(), unary_cells[k].value.decode(),
                                       unary_cells[k].gain.decode()).encode())
        unary_methods[k].ml_doc = <bytes>unary_documents[k]
        k += 1

write_help()
