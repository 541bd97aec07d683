"""What a trained model is asked: plain torch over an encoder, a head and a tokenizer.

Nothing is imported here, because what asks a model of ONNX Runtime needs no torch.
"""
