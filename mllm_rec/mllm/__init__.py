"""The multimodal model: providers, prompts, captions and what they feed, reranking, wording, fine-tuning."""
